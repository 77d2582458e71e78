"""A rebuild ends in the state of a fold from nothing, whatever arrives meanwhile."""

import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregates.rfm.fold.projection import RfmFold
from processors.engine import rebuild
from processors.engine.projection import (
    PROJECTIONS,
    Change,
    NewerVersion,
    Projection,
    Projector,
    Scope,
    live_key,
)
from processors.orders.currency import CURRENCY
from processors.orders.processor import OrdersProcessor
from processors.shopify.orders import OrderEvent
from stream.store.contract import Cells, Reading, StoreUnavailable, Transaction
from stream.store.sql.store import SqlStore
from tests.support.shopify.orders import DAY0, SHOP, distinct_versions, events, order

NOW_MS = (DAY0 + 31) * 86_400_000
PROPERTY = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def rfm(version: int = 1, factor: int = 1) -> Projection:
    """RFM whose formula, in this version, counts every order's money `factor` times."""
    fold = RfmFold(version=version)
    made = fold.projection()
    if factor == 1:
        return made

    def wrong(
        transaction: Transaction, work: Mapping[Scope, Sequence[Change[Any]]], now_ms: int
    ) -> None:
        fold.apply(
            transaction,
            {
                scope: [Change(_times(old, factor), _times(new, factor)) for old, new in changes]
                for scope, changes in work.items()
            },
            now_ms,
        )

    return replace(made, sources=(replace(made.sources[0], apply=wrong),))


def _times(row: Any, factor: int) -> Any:
    if row is None:
        return None
    return row._replace(total=row.total * factor, current_total=row.current_total * factor)


def program(projection: Projection) -> OrdersProcessor:
    return OrdersProcessor({}, (CURRENCY, projection))


def fold(store: SqlStore, processor: OrdersProcessor, batch: Sequence[OrderEvent]) -> None:
    with store.begin() as transaction:
        processor.apply(transaction, batch, NOW_MS)


def emptied(store: SqlStore) -> None:
    tables = [table.table for table in (*rfm().tables, *CURRENCY.tables)]
    with store.begin() as transaction:
        for table in (*tables, "shop_order", "order_shop", "customer_alias", "projection"):
            transaction.execute(f"DELETE FROM {table}")


def rows(reading: Reading, table: Any, key: str) -> list[tuple[Any, ...]]:
    fields = (*table.key, *table.measures) if isinstance(table, Cells) else table.row._fields
    found = reading.query(
        f"SELECT {', '.join(fields[1:])} FROM {table.table} WHERE shop = :shop", shop=key
    )
    kept = [tuple(row) for row in found]
    size = len(fields) - 1 - len(table.measures) if isinstance(table, Cells) else 0
    return sorted(row for row in kept if not isinstance(table, Cells) or any(row[size:]))


def numbers(store: SqlStore) -> dict[str, list[tuple[Any, ...]]]:
    """All that answers are made from."""
    with store.snapshot() as snapshot:
        key = live_key(snapshot, SHOP, "rfm")
        return {table.table: rows(snapshot, table, key) for table in rfm().tables}


def ticked(store: SqlStore, processor: OrdersProcessor) -> None:
    """The shop's currency is that of most orders from the next second on."""
    with store.begin() as transaction:
        processor.tick(transaction, NOW_MS)


def finish(store: SqlStore, projection: Projection) -> None:
    while rebuild.run(store, projection, SHOP, NOW_MS):
        pass


def assert_nothing_is_left_of_other_generations(store: SqlStore) -> None:
    with store.snapshot() as snapshot:
        key = live_key(snapshot, SHOP, "rfm")
        for table in rfm().tables:
            found = snapshot.query(f"SELECT DISTINCT shop FROM {table.table}")
            assert {row[0] for row in found} <= {key}
        (state,) = snapshot.query("SELECT building, stale FROM projection WHERE name = 'rfm'")
        assert tuple(state) == (-1, -1)


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "PAGE", 2)
    monkeypatch.setattr(rebuild, "REMOVED", 3)


def folded_alone(store: SqlStore, answer: Sequence[OrderEvent]) -> dict[str, list[tuple[Any, ...]]]:
    """The numbers of folding event by event, from nothing; the store is empty afterwards."""
    emptied(store)
    processor = program(rfm())
    for event in answer:
        fold(store, processor, [event])
    ticked(store, processor)
    expected = numbers(store)
    emptied(store)
    return expected


def interleaved(
    store: SqlStore,
    projection: Projection,
    answer: Sequence[OrderEvent],
    rng: random.Random,
    *,
    requested: bool,
) -> None:
    """Fold these events in batches, with steps of rebuilds between them, and finish the last one.

    With `requested` rebuilds are asked for meanwhile.
    """
    processor, left = program(projection), list(answer)
    while left:
        choice = rng.random()
        if choice < 0.4:
            size = rng.randint(1, 4)
            fold(store, processor, left[:size])
            left = left[size:]
        elif choice < 0.6 and requested:
            request(store, projection)
        else:
            rebuild.run(store, projection, SHOP, NOW_MS)
    finish(store, projection)
    ticked(store, processor)


@PROPERTY
@given(answer=st.lists(events(), min_size=1, max_size=25), seed=st.integers(0, 2**32))
def test_a_rebuild_beside_folding_ends_where_folding_alone_does(
    store: SqlStore, answer: list[OrderEvent], seed: int
) -> None:
    answer = distinct_versions(answer)
    expected = folded_alone(store, answer)
    interleaved(store, rfm(), answer, random.Random(seed), requested=True)
    assert numbers(store) == expected
    assert_nothing_is_left_of_other_generations(store)


@PROPERTY
@given(answer=st.lists(events(), min_size=1, max_size=20), seed=st.integers(0, 2**32))
def test_a_mended_formula_mends_what_the_wrong_one_has_stored(
    store: SqlStore, answer: list[OrderEvent], seed: int
) -> None:
    answer = distinct_versions(answer)
    expected = folded_alone(store, answer)
    half = len(answer) // 2
    wrong = program(rfm(version=1, factor=2))
    for event in answer[:half]:
        fold(store, wrong, [event])
    mended = rfm(version=2)
    with store.begin() as transaction:
        rebuild.register(transaction, [mended])
    interleaved(store, mended, answer[half:], random.Random(seed), requested=False)
    assert numbers(store) == expected
    assert_nothing_is_left_of_other_generations(store)


def test_answers_stand_still_and_stay_whole_while_a_mended_formula_is_rebuilt(
    store: SqlStore,
) -> None:
    wrong, mended = program(rfm(version=1, factor=2)), rfm(version=2)
    for number in range(9):
        fold(store, wrong, [order(f"{number}", customer=f"{number}", total=100)])
    before = numbers(store)
    for number in range(20, 24):
        rebuild.run(store, mended, SHOP, NOW_MS)
        fold(store, program(mended), [order(f"{number}", customer=f"{number}", total=100)])
        assert numbers(store) == before
    finish(store, mended)
    customers = numbers(store)["rfm_customer"]
    assert len(customers) == 13
    assert {row[6] for row in customers} == {100}


def test_an_aggregate_that_is_new_fills_itself_with_the_shops_past(store: SqlStore) -> None:
    answer = [order(f"{number}", customer=f"{number % 3}", total=100) for number in range(7)]
    fold(store, OrdersProcessor({}, (CURRENCY,)), answer)
    projection = rfm()
    fold(store, program(projection), [order("99", customer="9")])
    assert numbers(store)["rfm_customer"] == []
    finish(store, projection)
    assert len(numbers(store)["rfm_customer"]) == 4


def test_a_program_with_an_older_formula_counts_nothing(store: SqlStore) -> None:
    fold(store, program(rfm(version=2)), [order("1")])
    with pytest.raises(NewerVersion, match="orderwire rebuild rfm"):
        fold(store, program(rfm(version=1)), [order("2")])
    with store.begin() as transaction:
        rebuild.request(transaction, rfm(version=1), SHOP, NOW_MS)
    finish(store, rfm(version=1))
    fold(store, program(rfm(version=1)), [order("2", customer="2")])
    assert len(numbers(store)["rfm_customer"]) == 2


def test_folds_and_two_rebuilders_together_lose_and_double_nothing(store: SqlStore) -> None:
    answer = [
        order(f"{number % 60}", version=number, customer=f"{number % 7}", total=number)
        for number in range(240)
    ]
    fold(store, program(rfm()), answer)
    expected = numbers(store)
    emptied(store)
    failures: list[BaseException] = []
    done = threading.Event()
    first = rfm()
    fold(store, program(first), answer[:1])

    def folding() -> None:
        processor = program(rfm())
        for start in range(1, len(answer), 6):
            again(lambda start=start: fold(store, processor, answer[start : start + 6]))
        done.set()

    def rebuilding() -> None:
        projection = rfm()
        while not done.is_set():
            again(lambda: request(store, projection))
            again(lambda: finish(store, projection))

    def again(work: Any) -> None:
        for _ in range(200):
            try:
                work()
                return
            except StoreUnavailable:
                continue
            except BaseException as error:
                failures.append(error)
                raise
        failures.append(AssertionError("no attempt got through"))

    threads = [threading.Thread(target=work) for work in (folding, rebuilding, rebuilding)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    finish(store, first)
    assert numbers(store) == expected


def request(store: SqlStore, projection: Projection) -> None:
    with store.begin() as transaction:
        rebuild.request(transaction, projection, SHOP, NOW_MS)


def test_a_shop_that_is_met_for_the_first_time_is_counted_from_its_first_order(
    store: SqlStore,
) -> None:
    with store.begin() as transaction:
        Projector([rfm()]).begin(transaction, [SHOP])
        (state,) = transaction.load(PROJECTIONS, [(SHOP, "rfm")]).values()
    assert (state.version, state.live, state.building) == (1, 0, -1)


def states(snapshot: Reading) -> dict[str, str]:
    """By shop: why RFM has stopped for it."""
    return dict(snapshot.query("SELECT shop, stopped FROM projection WHERE name = 'rfm'"))


def test_a_failure_of_a_rebuild_is_noted_until_one_succeeds(store: SqlStore) -> None:
    fold(store, program(rfm(version=1)), [order("1", customer="1")])
    rebuild.note_failure(store, rebuild.Pending(SHOP, "rfm"), KeyError("x"))
    with store.snapshot() as snapshot:
        assert states(snapshot) == {SHOP: "KeyError"}
    finish(store, rfm(version=2))
    with store.snapshot() as snapshot:
        assert states(snapshot) == {SHOP: ""}


def test_a_projection_that_raises_stops_for_that_shop_alone_and_catches_up_once_mended(
    store: SqlStore,
) -> None:
    other = "other.myshopify.com"
    fold_of_rfm = RfmFold()
    made = fold_of_rfm.projection()

    def failing(
        transaction: Transaction, work: Mapping[Scope, Sequence[Change[Any]]], now_ms: int
    ) -> None:
        if any(scope.shop == SHOP for scope in work):
            raise ZeroDivisionError
        fold_of_rfm.apply(transaction, work, now_ms)

    broken = replace(made, sources=(replace(made.sources[0], apply=failing),))
    processor = program(broken)
    answer = [order("1", customer="1"), order("2", customer="2", shop=other)]
    with pytest.raises(ZeroDivisionError):
        fold(store, processor, answer)
    fold(store, processor, answer)
    fold(store, processor, [order("3", customer="3")])
    with store.snapshot() as snapshot:
        counted = snapshot.query("SELECT shop, customer FROM rfm_customer")
        assert [tuple(row) for row in counted] == [(other, "2")]
        assert snapshot.query("SELECT COUNT(*) FROM shop_order")[0][0] == 3
        assert rebuild.pending(snapshot, [broken]) == [rebuild.Pending(SHOP, "rfm")]
        assert states(snapshot) == {SHOP: "ZeroDivisionError", other: ""}
    with pytest.raises(ZeroDivisionError):
        finish(store, broken)
    mended = rfm(version=2)
    finish(store, mended)
    with store.snapshot() as snapshot:
        assert states(snapshot) == {SHOP: "", other: ""}
    assert len(numbers(store)["rfm_customer"]) == 2
