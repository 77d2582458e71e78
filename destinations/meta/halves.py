"""The browser's half of orders that came after it, and how long to wait for one that may come. Only
a sale of the online store, entered by its buyer, has one."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from destinations.browser.facts import (
    MARKETING,
    SHOPS,
    SHOWN_MS,
    BrowserShopRow,
    FactRow,
    facts_of,
)
from destinations.browser.processor import known_facts
from destinations.delivery.protocol import Built
from destinations.delivery.rows import NO_CONSENT, PENDING
from destinations.meta.browser import MetaCompleter
from destinations.meta.event.clicks import ClickLook
from destinations.meta.event.policy import Decision, decide
from stream.store.contract import Key, Transaction

_completer = MetaCompleter()


class Half(NamedTuple):
    """What is known of the browser's half of an order."""

    token: str
    row: FactRow | None
    wait_ms: int

    def judged(self, decision: Decision, look: ClickLook) -> Decision:
        """The decision, with the visitor's choices obeyed."""
        if self.row is None:
            return decision
        facts = facts_of(self.row)
        if decision.asks_consent and facts.allows(MARKETING):
            decision = decide(look.order, look.detail, look.settings, consented=True)
        if decision.outcome != PENDING:
            return decision
        refusal = _completer.refusal(facts)
        return decision._replace(outcome=NO_CONSENT, reason=refusal) if refusal else decision

    def completed(self, payload: bytes) -> Built:
        """The event with what the browser reported."""
        if self.row is None:
            return Built(payload)
        return _completer.completed(payload, facts_of(self.row), self.row.seen_ms)


def lock(transaction: Transaction, shops: Collection[str]) -> dict[Key, BrowserShopRow]:
    """Lock what is known of these shops' browsers, shared; rows that are missing are made."""
    keys: list[Key] = [(shop,) for shop in sorted(shops)]
    found = transaction.load(SHOPS, keys, shared=True)
    missing = [BrowserShopRow(str(key[0])) for key in keys if key not in found]
    if missing:
        transaction.save(SHOPS, missing)
    return found


def halves(
    transaction: Transaction, looks: Sequence[ClickLook], decisions: Sequence[Decision]
) -> list[Half | None]:
    """One for each; None where there is no browser's half, or it is of no use."""
    wanted = [
        (look.order.shop, look.order.checkout_token)
        if look.order.checkout_token
        and (decision.outcome == PENDING or decision.waits or decision.asks_consent)
        and decision.action_source == "website"
        and not decision.by_staff
        else None
        for look, decision in zip(looks, decisions, strict=True)
    ]
    keys = {key for key in wanted if key is not None}
    shops = {
        shop: row
        for (shop,), row in transaction.load(
            SHOPS, sorted({(shop,) for shop, _ in keys}), shared=True
        ).items()
        if row.seen_ms
    }
    asked = sorted(key for key in keys if key[0] in shops)
    received_ms = max((look.order.received_ms for look in looks), default=0)
    facts = known_facts(transaction, asked, received_ms)
    found: list[Half | None] = []
    for look, key in zip(looks, wanted, strict=True):
        if key is None or key[0] not in shops:
            found.append(None)
            continue
        row = facts.get(key)
        shown = look.order.received_ms - shops[key[0]].shown_ms < SHOWN_MS
        completer = MetaCompleter(look.settings.event_id)
        waits = shown and (row is None or completer.awaits(facts_of(row)))
        wait_ms = round(look.settings.browser_wait_s * 1000) if waits else 0
        found.append(Half(str(key[1]), row, wait_ms))
    return found
