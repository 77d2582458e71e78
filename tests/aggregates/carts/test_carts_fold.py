"""Whatever arrives, in whichever order and however often: the same rows, and cells that are their
sum."""

from typing import Any, cast

import pytest
from hypothesis import strategies as st

from aggregates.carts import projection as carts
from processors.checkouts.link import LINKS
from processors.checkouts.row import CHECKOUTS, CLOSED, RULE
from processors.engine.projection import Change, Projector
from stream.store.contract import Key, Move, Transaction
from stream.store.sql.store import SqlStore, SqlTransaction
from tests.support.examples import on_each_store
from tests.support.shopify.cart_events import (
    DAY,
    SHOP,
    CartEvent,
    assert_equation,
    cart_record,
    cells_in,
    checkout,
    checkouts_in,
    deleted,
    emptied,
    events_drawn,
    everything,
    fold,
    links_in,
    ms,
    order,
    tick,
)
from tests.support.shops.folding import carts_checkouts, carts_orders


@on_each_store(
    sqlite=40, postgresql=5, events=st.lists(events_drawn(), max_size=14), data=st.data()
)
def test_any_order_repetition_and_batching_ends_in_the_same_tables(
    store: SqlStore, events: list[CartEvent], data: st.DataObject
) -> None:
    now_ms = ms(data.draw(st.sampled_from([41 * DAY, 60 * DAY]), label="now, day"))
    emptied(store)
    for event in events:
        fold(store, [event], now_ms)
        assert_equation(store)
    tick(store, now_ms)
    assert_equation(store)
    expected = everything(store)
    again = data.draw(
        st.lists(st.sampled_from(events), max_size=5) if events else st.just([]), label="again"
    )
    shuffled = data.draw(st.permutations(events + again), label="shuffled")
    size = data.draw(st.integers(1, max(1, len(shuffled))), label="batch")
    emptied(store)
    for start in range(0, len(shuffled), size):
        fold(store, shuffled[start : start + size], now_ms)
    tick(store, now_ms)
    assert everything(store) == expected


@on_each_store(
    sqlite=40,
    postgresql=5,
    events=st.lists(events_drawn(), max_size=12),
    days=st.lists(st.integers(0, 150), min_size=1, max_size=6),
)
def test_the_clock_going_on_in_any_steps_ends_where_one_step_would(
    store: SqlStore, events: list[CartEvent], days: list[int]
) -> None:
    emptied(store)
    fold(store, events, ms(40 * DAY))
    for day in sorted(days):
        tick(store, ms((41 + day) * DAY))
        assert_equation(store)
    stepwise = everything(store)
    emptied(store)
    fold(store, events, ms(40 * DAY))
    tick(store, ms((41 + max(days)) * DAY))
    assert everything(store) == stepwise


def written(transaction: Transaction, dialect: str) -> int:
    """Rows that this transaction has written so far, give or take a constant."""
    sql = (
        "SELECT total_changes()"
        if dialect == "sqlite"
        else "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_xact_user_tables"
    )
    return int(transaction.query(sql)[0][0])


def states(store: SqlStore) -> dict[str, str]:
    return {row.token: row.state for row in checkouts_in(store)}


@pytest.mark.parametrize(
    ("ordered_at", "state"),
    [
        (59, "completed"),
        (60, "recovered_direct"),
        (8 * DAY, "recovered_direct"),
        (30 * DAY, "recovered_direct"),
    ],
)
def test_its_own_order_completes_a_checkout_and_recovers_an_abandoned_one(
    store: SqlStore, ordered_at: int, state: str
) -> None:
    fold(store, [checkout("a", 0), order("1", ordered_at, token="a")], ms(40 * DAY))
    assert states(store) == {"a": state}


def test_completed_at_does_what_the_order_does(store: SqlStore) -> None:
    fold(store, [checkout("a", 0), checkout("a", 180.1, created=0, completed=180)], ms(DAY))
    assert states(store) == {"a": "recovered_direct"}


def test_a_buyer_who_comes_back_by_the_recovery_link_and_pays_minutes_later_is_recovered(
    store: SqlStore,
) -> None:
    back = [checkout("a", minute, created=0) for minute in (0, 300, 304)]
    fold(store, [*back, order("1", 306, token="a")], ms(DAY))
    assert states(store) == {"a": "recovered_direct"}


def test_an_order_before_its_checkout_waits_for_it(store: SqlStore) -> None:
    fold(store, [order("1", 30, token="a")], ms(DAY))
    assert states(store) == {"a": ""}
    fold(store, [checkout("a", 0)], ms(DAY))
    assert states(store) == {"a": "completed"}


@pytest.mark.parametrize(
    ("ordered_at", "state"),
    [
        (-5, "open"),
        (30, "completed"),
        (90, "recovered_assisted"),
        (60 + 7 * DAY, "recovered_assisted"),
        (61 + 7 * DAY, "open"),
    ],
)
def test_another_order_of_the_customer_within_seven_days_assists(
    store: SqlStore, ordered_at: int, state: str
) -> None:
    fold(
        store, [checkout("a", 0, customer="7"), order("1", ordered_at, customer="7")], ms(10 * DAY)
    )
    assert states(store) == {"a": state}


def test_an_order_without_checkout_token_completes_the_checkouts_of_its_cart(
    store: SqlStore,
) -> None:
    fold(store, [order("1", 90, cart="x")], ms(DAY))
    fold(store, [checkout("a", 0, cart="x"), checkout("b", 0, cart="y")], ms(DAY))
    assert states(store) == {"a": "recovered_direct", "b": "open"}


def test_a_sibling_checkout_of_the_same_cart_is_closed_by_the_order_too(store: SqlStore) -> None:
    fold(store, [checkout("a", 0, cart="x"), checkout("b", 120, cart="x")], ms(DAY))
    fold(store, [order("1", 125, token="b", cart="x")], ms(DAY))
    assert states(store) == {"a": "recovered_assisted", "b": "completed"}


@pytest.mark.parametrize("how", [{"token": "a"}, {"cart": "x"}])
def test_a_deleted_checkout_counts_nowhere_unless_it_was_ordered(
    store: SqlStore, how: dict[str, str]
) -> None:
    fold(store, [deleted(30, **how), checkout("a", 0, cart="x")], ms(DAY))
    assert states(store) == {"a": ""}
    fold(store, [order("1", 20, token="a")], ms(DAY))
    assert states(store) == {"a": "completed"}


def test_a_checkout_begun_after_the_delete_of_its_cart_is_another_one(store: SqlStore) -> None:
    fold(store, [deleted(30, cart="x"), checkout("a", 40, cart="x")], ms(DAY))
    assert states(store) == {"a": "open"}


def test_a_cancelled_order_still_completed_its_checkout_but_is_worth_nothing(
    store: SqlStore,
) -> None:
    fold(
        store,
        [
            checkout("a", 0),
            order("1", 90, token="a", answer=500, cancelled=True),
            order("1", 90, token="a"),
        ],
        ms(DAY),
    )
    (row,) = checkouts_in(store)
    assert (row.state, row.revenue) == ("recovered_direct", 0)


def test_a_customer_returns_if_an_earlier_order_is_known_whenever_it_arrives(
    store: SqlStore,
) -> None:
    fold(
        store,
        [checkout("a", 10 * DAY, customer="7"), checkout("b", 10 * DAY, customer="8")],
        ms(11 * DAY),
    )
    fold(store, [order("1", 0, customer="7"), order("2", 12 * DAY, customer="8")], ms(11 * DAY))
    assert {row.token: row.is_returning for row in checkouts_in(store)} == {"a": 1, "b": 0}


def test_a_guest_goes_by_the_hash_of_the_email_address_and_no_address_is_kept(
    store: SqlStore,
) -> None:
    fold(
        store,
        [checkout("a", 0, email=" Some@Example.org "), order("1", 90, email="some@example.org")],
        ms(DAY),
    )
    assert states(store) == {"a": "recovered_assisted"}
    assert "xample.org" not in repr(everything(store)).replace("recover?key", "")


@pytest.mark.parametrize("first", [0, 1])
def test_an_order_of_a_known_customer_also_meets_the_checkouts_that_know_the_email_address_alone(
    store: SqlStore, first: int
) -> None:
    answer: list[CartEvent] = [
        checkout("a", 0, email="some@example.org"),
        order("1", 90, customer="7", email="Some@example.org"),
    ]
    for event in (answer[first], answer[1 - first]):
        fold(store, [event], ms(DAY))
    assert states(store) == {"a": "recovered_assisted"}
    fold(
        store,
        [checkout("b", 2 * DAY, email="some@example.org"), checkout("c", 2 * DAY, customer="7")],
        ms(3 * DAY),
    )
    assert {row.token: row.is_returning for row in checkouts_in(store)} == {"a": 0, "b": 1, "c": 1}


def test_a_checkout_in_the_buyer_s_currency_counts_with_its_order_s_amount_in_the_shop_s(
    store: SqlStore,
) -> None:
    fold(
        store,
        [checkout("a", 0, total=15_000, currency="JPY"), order("1", 90, token="a", total=10_000)],
        ms(DAY),
    )
    (row,) = checkouts_in(store)
    assert (row.state, row.currency, row.value, row.revenue, row.revenue_currency) == (
        "recovered_direct",
        "JPY",
        15_000,
        10_000,
        "USD",
    )
    ((key, measures),) = [
        (key, measures)
        for (table, key), measures in cells_in(store).items()
        if table == "cart_closed"
    ]
    assert (key[1], measures) == ("USD", (1, 10_000, 0, 0, 0, 1))


def test_a_checkout_expires_after_fourteen_days_and_is_forgotten_after_ninety(
    store: SqlStore,
) -> None:
    fold(store, [checkout("a", 0, cart="x"), cart_record("x", 0)], ms(1))
    tick(store, ms(14 * DAY) - 1)
    assert states(store) == {"a": "open"}
    tick(store, ms(14 * DAY))
    assert states(store) == {"a": "expired"}
    fold(store, [checkout("a", 20 * DAY, created=0, cart="x")], ms(20 * DAY))
    assert states(store) == {"a": "open"}
    tick(store, ms(90 * DAY) + 1)
    assert everything(store) == ([], [], {})


def test_an_order_of_last_year_leaves_no_cart_a_second_after_it_is_folded(store: SqlStore) -> None:
    checkouts, now_ms = carts_checkouts(), ms(100 * DAY)
    with store.begin() as transaction:
        checkouts.tick(transaction, now_ms)
    with store.begin() as transaction:
        transaction.advance("orders", "orders", {0: Move(None, 1, 1)}, now_ms)
        carts_orders().apply(transaction, [order("1", 0, token="a", cart="x")], now_ms)
    assert checkouts_in(store)
    with store.begin() as transaction:
        checkouts.tick(transaction, now_ms + 1_000)
    assert not checkouts_in(store)


def test_ageing_writes_nothing(store: SqlStore) -> None:
    fold(store, [checkout("a", 0)], ms(1))
    before = everything(store)
    checkouts = carts_checkouts()
    for minute in (10, 60, 600, 6000):
        with store.begin() as transaction:
            rows = written(transaction, store.dialect)
            checkouts.tick(transaction, ms(minute))
            assert written(transaction, store.dialect) == rows
    assert everything(store) == before


def test_cells_that_have_become_zero_are_removed_within_the_hour(store: SqlStore) -> None:
    carts = carts_checkouts()
    opened: list[CartEvent] = [checkout(f"t{n}", n * 30, total=100 << n) for n in range(10)]
    for answer, minute in (
        (opened, 300.0),
        ([order(str(n), 301, token=f"t{n}") for n in range(9)], 302.0),
    ):
        fold(store, answer, ms(minute))
        with store.begin() as transaction:
            carts.tick(transaction, ms(minute))
    with store.begin() as transaction:
        carts.tick(transaction, ms(361))
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT count(*) FROM cart_open") == [(1,)]
    assert_equation(store)


def test_another_setting_recounts_the_rows_that_are_there(store: SqlStore) -> None:
    events: list[CartEvent] = [checkout("a", 0), order("1", 90, token="a"), checkout("b", 0)]
    fold(store, events, ms(DAY))
    tick(store, ms(DAY), after_minutes=120)
    assert_equation(store)
    recount = everything(store)
    assert states(store) == {"a": "completed", "b": "open"}
    emptied(store)
    fold(store, events, ms(DAY), after_minutes=120)
    assert everything(store) == recount


def test_rows_that_an_older_rule_settled_are_settled_anew_and_their_cells_follow(
    store: SqlStore,
) -> None:
    fold(store, [checkout("a", 0), order("1", 90, token="a"), checkout("b", 0)], ms(DAY))
    before = everything(store)
    with store.begin() as transaction:
        work = Projector((carts.projection(),)).begin(transaction, {SHOP})
        rows = transaction.load(CHECKOUTS, [(SHOP, "a"), (SHOP, "b")]).values()
        older = [row._replace(state="", open_bucket=CLOSED, settled_by=RULE - 1) for row in rows]
        transaction.save(CHECKOUTS, older)
        changes = [Change(*each) for each in zip(rows, older, strict=True)]
        work.apply(CHECKOUTS, changes, ms(DAY))
    assert states(store) == {"a": "", "b": ""}
    assert_equation(store)
    tick(store, ms(DAY))
    assert_equation(store)
    assert everything(store) == before


def test_a_setting_that_is_not_whole_tens_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 10"):
        carts_checkouts(45)


def test_a_tills_customer_with_thousands_of_orders_keeps_a_small_row(store: SqlStore) -> None:
    fold(store, [order(str(n), n * 7, customer="7") for n in range(3_000)], ms(40 * DAY))
    (link,) = links_in(store)
    assert len(link.orders) < 1_000
    assert link.first_order_ms == ms(0)


class Counting:
    """A transaction that counts the rows it loads."""

    def __init__(self, transaction: SqlTransaction) -> None:
        self._transaction, self.loaded = transaction, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transaction, name)

    def load(self, entities: Any, keys: Any, *, shared: bool = False) -> dict[Key, Any]:
        found = self._transaction.load(entities, keys, shared=shared)
        if entities in (LINKS, CHECKOUTS):
            self.loaded += len(found)
        return found


def test_the_next_order_of_a_tills_customer_reads_none_of_their_ordered_checkouts(
    store: SqlStore,
) -> None:
    answer: list[CartEvent] = [checkout(f"t{n}", n * 7, customer="7") for n in range(300)]
    answer += [order(str(n), n * 7 + 5, token=f"t{n}", customer="7") for n in range(300)]
    fold(store, [*answer, checkout("open", 2_100, customer="7")], ms(2_150))
    with store.begin() as transaction:
        counting = Counting(transaction)
        carts_orders().apply(
            cast(Transaction, counting), [order("next", 2_200, customer="7")], ms(2_200)
        )
    assert counting.loaded == 2
    assert_equation(store)


def test_shops_are_distinguished(store: SqlStore) -> None:
    fold(
        store,
        [
            checkout("a", 0, customer="7"),
            checkout("a", 0, customer="7", shop="other.myshopify.com"),
        ],
        ms(DAY),
    )
    fold(store, [order("1", 90, customer="7", shop="other.myshopify.com")], ms(DAY))
    assert [row.state for row in checkouts_in(store)] == ["open", "recovered_assisted"]
