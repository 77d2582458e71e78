"""The state of an account that all its senders share: paused, throttled, failing."""

from collections.abc import Sequence

from destinations.delivery.backoff import THROTTLE_NAMED_CAP_MS, probe_ms
from destinations.delivery.ledger import register
from destinations.delivery.protocol import Destination
from destinations.delivery.rows import ACCOUNTS, AccountRow
from destinations.delivery.verdict import ErrorClass, Verdict
from stream.store.contract import Transaction

ANSWER, RULE = "answer", "rule"


def _running(row: AccountRow) -> AccountRow:
    """The account without its pause."""
    return row._replace(
        paused_since_ms=None,
        paused_class="",
        paused_code="",
        paused_message="",
        paused_by="",
        next_probe_ms=None,
        probes=0,
        refused_cause="",
        refused_orders="",
    )


def pause(
    transaction: Transaction,
    shop: str,
    destination: str,
    verdict: Verdict,
    now_ms: int,
    *,
    probe: bool,
) -> AccountRow:
    """Stop sending, record why, and schedule the next probe; a failed probe (`probe`) postpones the
    next one.

    An account pauses when its vendor refuses the token, the permission or the address, or all
    events alike; its rows stay pending. One real row is sent as a probe, first after 15 s, then
    ever less often. If it is accepted, or refused for its own fault, sending resumes. A `disabled`
    receiver is not probed until a user asks (`answer.retry`). A pause by the destination's own rule
    ends when the rule says so.

    Requests that were in flight with the first refused one are no probes: they change nothing.
    """
    row = register(transaction, shop, destination)
    if row.paused_since_ms is not None and not probe:
        return row
    probed = verdict.kind is not ErrorClass.DISABLED
    row = row._replace(
        paused_since_ms=row.paused_since_ms if row.paused_since_ms is not None else now_ms,
        paused_class=verdict.kind.value,
        paused_code="" if verdict.code is None else str(verdict.code),
        paused_message=verdict.message,
        paused_by=ANSWER,
        next_probe_ms=now_ms + probe_ms(row.probes) if probed else None,
        probes=row.probes + 1,
        refused_cause="",
        refused_orders="",
    )
    transaction.save(ACCOUNTS, [row])
    return row


def resume(transaction: Transaction, shop: str, destination: str) -> AccountRow:
    """End the pause."""
    row = _running(register(transaction, shop, destination))
    row = row._replace(failing_since_ms=None, failing_cause="")
    transaction.save(ACCOUNTS, [row])
    return row


def refused(
    transaction: Transaction, shop: str, destination: str, cause: str, order_ids: Sequence[str]
) -> AccountRow:
    """Record that the events of these orders were refused alike, with none accepted between; a
    `cause` of "" ends the row of refusals.

    Kept in the store: on a quiet shop each event is a claim of its own, hours apart.
    """
    row = register(transaction, shop, destination)
    before = row.refused_orders.split(",") if cause and row.refused_cause == cause else []
    # An order that was retried counts once.
    orders = ",".join(dict.fromkeys(filter(None, [*before, *order_ids])))
    new = row._replace(refused_cause=cause, refused_orders=orders)
    if new != row:
        transaction.save(ACCOUNTS, [new])
    return new


def refused_for(row: AccountRow) -> str:
    """The cause (`refusals.cause`) for which the account is paused, since all events are refused
    alike; "" where it is not."""
    return row.paused_code if row.paused_class == ErrorClass.PERMANENT.value else ""


def take_probe(transaction: Transaction, shop: str, destination: str, now_ms: int) -> bool:
    """Whether this sender, of all, may probe the paused account now."""
    return (
        transaction.execute(
            "UPDATE destination_account SET next_probe_ms = :then WHERE shop = :shop "
            "AND destination = :destination AND paused_since_ms IS NOT NULL "
            "AND next_probe_ms <= :now",
            then=now_ms + probe_ms(0),
            shop=shop,
            destination=destination,
            now=now_ms,
        )
        == 1
    )


def throttle(
    transaction: Transaction, shop: str, destination: str, wait_ms: int, now_ms: int
) -> AccountRow:
    """Send nothing for so long, at most a day. Kept in the store, so that neither another sender
    nor a restart asks sooner than the vendor said."""
    row = register(transaction, shop, destination)
    until = now_ms + min(wait_ms, THROTTLE_NAMED_CAP_MS)
    row = row._replace(throttled_until_ms=max(row.throttled_until_ms, until))
    transaction.save(ACCOUNTS, [row])
    return row


def failing(
    transaction: Transaction, shop: str, destination: str, since_ms: int | None, cause: str = ""
) -> AccountRow:
    """Record since when requests fail and why; `since_ms` None: they do not fail."""
    row = register(transaction, shop, destination)
    if since_ms is not None and row.failing_since_ms is not None:
        since_ms = row.failing_since_ms
    new = row._replace(failing_since_ms=since_ms, failing_cause=cause)
    if new != row:
        transaction.save(ACCOUNTS, [new])
    return new


def guarded(transaction: Transaction, destination: Destination, now_ms: int) -> AccountRow:
    """The account, registered, and paused or resumed as the destination's own rule says."""
    row = before = register(
        transaction, destination.shop, destination.name, destination.kind, destination.account
    )
    rule = destination.paused_by(transaction, now_ms)
    if rule is None and row.paused_by == RULE:
        row = _running(row)
    elif rule is not None and row.paused_since_ms is None:
        row = row._replace(
            paused_since_ms=now_ms,
            paused_class=ErrorClass.CONFIGURATION.value,
            paused_code=str(rule.code or ""),
            paused_message=rule.message,
            paused_by=RULE,
        )
    if row != before:
        transaction.save(ACCOUNTS, [row])
    return row
