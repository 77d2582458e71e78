"""Leases of jobs: one holder at a time, taken over when they end, on each database."""

from orderwire.serve.schedule import ledger
from stream.store.sql.store import SqlStore

JOB, SHOP, OTHER = "spend", "a.myshopify.com", "b.myshopify.com"
NOW_MS, LEASE_MS = 1_795_348_800_000, 60_000


def register(store: SqlStore, *shops: str, now_ms: int = NOW_MS) -> None:
    with store.begin() as transaction:
        ledger.register(transaction, [(JOB, shop) for shop in shops], now_ms)


def due(store: SqlStore, now_ms: int) -> list[str]:
    with store.snapshot() as snapshot:
        return ledger.due(snapshot, JOB, now_ms, 10)


def claim(store: SqlStore, owner: str, now_ms: int, shop: str = SHOP) -> ledger.Claim | None:
    with store.begin() as transaction:
        return ledger.claim(transaction, JOB, shop, owner, now_ms, LEASE_MS)


def taken(store: SqlStore, owner: str, now_ms: int) -> ledger.Claim:
    found = claim(store, owner, now_ms)
    assert found is not None
    return found


def succeed(store: SqlStore, claim: ledger.Claim, now_ms: int, due_ms: int) -> bool:
    with store.begin() as transaction:
        return ledger.succeeded(transaction, claim, now_ms, due_ms, "12 days")


def fail(store: SqlStore, claim: ledger.Claim, now_ms: int) -> int | None:
    with store.begin() as transaction:
        return ledger.failed(transaction, claim, now_ms, "no token")


def test_what_is_registered_is_due_immediately_and_registered_once(store: SqlStore) -> None:
    register(store, SHOP)
    register(store, SHOP, OTHER, now_ms=NOW_MS + 5)
    assert due(store, NOW_MS) == [SHOP]
    assert due(store, NOW_MS + 5) == [SHOP, OTHER]


def test_what_nobody_wants_any_more_goes_unless_somebody_works_on_it(store: SqlStore) -> None:
    register(store, SHOP, OTHER)
    taken(store, "one", NOW_MS)
    register(store, now_ms=NOW_MS + 1)
    with store.snapshot() as snapshot:
        assert [row.shop for row in snapshot.query("SELECT shop FROM scheduled_job")] == [SHOP]


def test_one_process_at_a_time_has_a_turn(store: SqlStore) -> None:
    register(store, SHOP)
    held = taken(store, "one", NOW_MS)
    assert claim(store, "two", NOW_MS + LEASE_MS - 1) is None
    assert succeed(store, held, NOW_MS + 500, NOW_MS + 3_600_000)
    assert claim(store, "two", NOW_MS + 3_599_999) is None
    assert claim(store, "two", NOW_MS + 3_600_000) is not None


def test_a_turn_is_taken_over_once_its_lease_is_over_and_its_first_holder_settles_nothing(
    store: SqlStore,
) -> None:
    register(store, SHOP)
    lost = taken(store, "one", NOW_MS)
    assert due(store, NOW_MS + LEASE_MS - 1) == []
    assert due(store, NOW_MS + LEASE_MS) == [SHOP]
    second = taken(store, "two", NOW_MS + LEASE_MS)
    assert not succeed(store, lost, NOW_MS + LEASE_MS + 1, NOW_MS)
    assert fail(store, lost, NOW_MS + LEASE_MS + 1) is None
    with store.begin() as transaction:
        assert not ledger.renew(transaction, lost, NOW_MS + 9 * LEASE_MS)
        assert ledger.renew(transaction, second, NOW_MS + 9 * LEASE_MS)
    assert due(store, NOW_MS + 8 * LEASE_MS) == []


def test_failures_of_one_shop_are_tried_again_after_growing_pauses_and_forgotten_by_success(
    store: SqlStore,
) -> None:
    register(store, SHOP, OTHER)
    at_ms, pauses_s = NOW_MS, []
    for _ in range(6):
        pause_ms = fail(store, taken(store, "one", at_ms), at_ms)
        assert pause_ms is not None
        assert due(store, at_ms + pause_ms - 1) == [OTHER]
        at_ms += pause_ms
        pauses_s.append(pause_ms // 1000)
    assert pauses_s == [10, 60, 300, 900, 3_600, 3_600]
    with store.snapshot() as snapshot:
        assert ledger.failing_shops(snapshot) == {JOB: {SHOP: 6}}
    assert succeed(store, taken(store, "one", at_ms), at_ms, at_ms)
    with store.snapshot() as snapshot:
        assert ledger.failing_shops(snapshot) == {}
    assert fail(store, taken(store, "one", at_ms + 1), at_ms + 1) == 10_000


def test_a_turn_asked_for_comes_immediately_or_after_the_one_under_way(store: SqlStore) -> None:
    register(store, SHOP)
    assert succeed(store, taken(store, "one", NOW_MS), NOW_MS + 1, NOW_MS + 3_600_000)
    assert due(store, NOW_MS + 10) == []
    with store.begin() as transaction:
        assert ledger.run_soon(transaction, JOB, SHOP, NOW_MS + 10)
        assert not ledger.run_soon(transaction, JOB, OTHER, NOW_MS + 10)
    held = taken(store, "one", NOW_MS + 10)
    with store.begin() as transaction:
        assert ledger.run_soon(transaction, JOB, SHOP, NOW_MS + 11)
    assert due(store, NOW_MS + 12) == []
    assert succeed(store, held, NOW_MS + 13, NOW_MS + 3_600_000)
    assert due(store, NOW_MS + 13) == [SHOP]


def test_a_process_that_has_the_store_to_itself_waits_for_no_lease_of_a_dead_one(
    store: SqlStore,
) -> None:
    register(store, SHOP)
    taken(store, "dead", NOW_MS)
    with store.begin() as transaction:
        ledger.end_leases(transaction)
    assert due(store, NOW_MS + 1) == [SHOP]
