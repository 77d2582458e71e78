"""The table `scheduled_job`: one row per job and shop, with its lease.

waiting ──(due, claimed)──> leased ──(settled)──> waiting, due again in every_s
   ^                          │  └────(failed)──> waiting, due after a pause that grows
   └──(lease over: its process was killed)────────┘
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from stream.store.contract import Reading, Transaction

PAUSES_MS = (10_000, 60_000, 300_000, 900_000, 3_600_000)
"""Before a job that failed is tried again for its shop; the last one repeats."""
REASON_CHARACTERS = 300
CLAIMED = "job = :job AND shop = :shop AND lease_owner = :owner AND started_ms = :started"


class Claim(NamedTuple):
    """A lease on one job of one shop. One UPDATE takes it, and only from a row without a live
    lease; settling names the claim, so that a lost lease settles nothing."""

    job: str
    shop: str
    owner: str
    started_ms: int


Place = tuple[str, str]
"""Job and shop."""


def register(transaction: Transaction, wanted: Collection[Place], now_ms: int) -> None:
    """Create missing rows, due now, and delete those that are no longer wanted."""
    rows = transaction.query("SELECT job, shop, lease_until_ms FROM scheduled_job")
    known = {(row.job, row.shop) for row in rows}
    for job, shop in sorted(set(wanted) - known):
        transaction.execute(
            "INSERT INTO scheduled_job (job, shop, due_ms) VALUES (:job, :shop, :now)"
            " ON CONFLICT (job, shop) DO NOTHING",
            job=job,
            shop=shop,
            now=now_ms,
        )
    left = {(row.job, row.shop) for row in rows if row.lease_until_ms <= now_ms} - set(wanted)
    for job, shop in sorted(left):
        transaction.execute(
            "DELETE FROM scheduled_job WHERE job = :job AND shop = :shop", job=job, shop=shop
        )


def due(
    reading: Reading, job: str, now_ms: int, at_most: int, among: Collection[str] | None = None
) -> list[str]:
    """Shops whose turn has come and that nobody has claimed, longest overdue first: of all shops,
    or of `among` and those whose last turn failed."""
    condition, named = _among(among)
    rows = reading.query(
        "SELECT shop FROM scheduled_job"
        f" WHERE job = :job AND due_ms <= :now AND lease_until_ms <= :now{condition}"
        " ORDER BY due_ms, shop LIMIT :at_most",
        job=job,
        now=now_ms,
        at_most=at_most,
        **named,
    )
    return [row.shop for row in rows]


def idle(reading: Reading, job: str, now_ms: int, busy: Collection[str]) -> bool:
    """Whether a turn has come of a shop that has nothing to do."""
    condition, named = _among(busy, negated=True)
    return bool(
        reading.query(
            "SELECT 1 FROM scheduled_job"
            f" WHERE job = :job AND due_ms <= :now AND lease_until_ms <= :now{condition} LIMIT 1",
            job=job,
            now=now_ms,
            **named,
        )
    )


def put_off(
    transaction: Transaction, job: str, now_ms: int, due_ms: int, busy: Collection[str]
) -> None:
    """Count the turns of shops that have nothing to do as done, all together."""
    condition, named = _among(busy, negated=True)
    transaction.execute(
        "UPDATE scheduled_job SET due_ms = :due, succeeded_ms = :now"
        f" WHERE job = :job AND due_ms <= :now AND lease_until_ms <= :now{condition}",
        job=job,
        now=now_ms,
        due=due_ms,
        **named,
    )


def _among(shops: Collection[str] | None, *, negated: bool = False) -> tuple[str, dict[str, str]]:
    """A condition: one of these shops, or one whose last turn failed."""
    if shops is None:
        return "", {}
    named = {f"shop{number}": shop for number, shop in enumerate(sorted(shops))}
    inside = f"shop IN ({', '.join(f':{name}' for name in named)})" if named else "1 = 0"
    condition = f"(failures > 0 OR {inside})"
    return f" AND {'NOT ' if negated else ''}{condition}", named


def next_due_ms(reading: Reading, jobs: Iterable[str], now_ms: int) -> int | None:
    """When the next turn comes of those that are not due yet; None where there is none."""
    found = [
        reading.query(
            "SELECT min(due_ms) FROM scheduled_job WHERE job = :job AND due_ms > :now",
            job=job,
            now=now_ms,
        )[0][0]
        for job in jobs
    ]
    return min((each for each in found if each is not None), default=None)


def claim(
    transaction: Transaction, job: str, shop: str, owner: str, now_ms: int, lease_ms: int
) -> Claim | None:
    """A lease on this turn; None where another process was quicker."""
    taken = transaction.execute(
        "UPDATE scheduled_job SET lease_owner = :owner, started_ms = :now, lease_until_ms = :until"
        " WHERE job = :job AND shop = :shop AND due_ms <= :now AND lease_until_ms <= :now",
        job=job,
        shop=shop,
        owner=owner,
        now=now_ms,
        until=now_ms + lease_ms,
    )
    return Claim(job, shop, owner, now_ms) if taken else None


def renew(transaction: Transaction, claim: Claim, until_ms: int) -> bool:
    """Keep a lease for longer; False where it is lost."""
    return bool(
        transaction.execute(
            f"UPDATE scheduled_job SET lease_until_ms = :until WHERE {CLAIMED}",
            until=until_ms,
            **_named(claim),
        )
    )


def succeeded(transaction: Transaction, claim: Claim, now_ms: int, due_ms: int, note: str) -> bool:
    """Settle a turn that worked; False where its lease is lost."""
    return bool(
        transaction.execute(
            "UPDATE scheduled_job SET lease_until_ms = 0, lease_owner = '',"
            " due_ms = CASE WHEN due_ms > started_ms THEN due_ms ELSE :due END,"
            " succeeded_ms = :now, failures = 0, failing_since_ms = 0, reason = '', note = :note"
            f" WHERE {CLAIMED}",
            due=max(due_ms, now_ms),
            now=now_ms,
            note=note[:REASON_CHARACTERS],
            **_named(claim),
        )
    )


def failed(transaction: Transaction, claim: Claim, now_ms: int, reason: str) -> int | None:
    """Settle a turn that failed; ms until the next one, None where its lease is lost."""
    rows = transaction.query(f"SELECT failures FROM scheduled_job WHERE {CLAIMED}", **_named(claim))
    if not rows:
        return None
    failures = rows[0].failures + 1
    pause_ms = PAUSES_MS[min(failures, len(PAUSES_MS)) - 1]
    transaction.execute(
        "UPDATE scheduled_job SET due_ms = :due, lease_until_ms = 0, lease_owner = '',"
        " failures = :failures, reason = :reason, failing_since_ms ="
        " CASE WHEN failing_since_ms = 0 THEN :now ELSE failing_since_ms END"
        f" WHERE {CLAIMED}",
        due=now_ms + pause_ms,
        failures=failures,
        reason=reason[:REASON_CHARACTERS],
        now=now_ms,
        **_named(claim),
    )
    return pause_ms


def run_soon(transaction: Transaction, job: str, shop: str, now_ms: int) -> bool:
    """Ask for a turn now, or for another one after the one under way; False where nobody has
    registered the job for this shop."""
    return bool(
        transaction.execute(
            # `succeeded` sees by it that somebody asked while the turn was under way.
            "UPDATE scheduled_job SET due_ms ="
            " CASE WHEN lease_until_ms > :now THEN started_ms + 1 ELSE :now END"
            " WHERE job = :job AND shop = :shop",
            job=job,
            shop=shop,
            now=now_ms,
        )
    )


def end_leases(transaction: Transaction) -> None:
    """End every lease: for a process that has the store to itself, whose predecessor is dead."""
    transaction.execute("UPDATE scheduled_job SET lease_until_ms = 0 WHERE lease_until_ms > 0")


def failing_shops(reading: Reading) -> dict[str, dict[str, int]]:
    """For each job the shops whose last turn failed, and how many have failed in a row."""
    rows = reading.query("SELECT job, shop, failures FROM scheduled_job WHERE failures > 0")
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row.job, {})[row.shop] = row.failures
    return found


def _named(claim: Claim) -> dict[str, str | int]:
    return {
        "job": claim.job,
        "shop": claim.shop,
        "owner": claim.owner,
        "started": claim.started_ms,
    }
