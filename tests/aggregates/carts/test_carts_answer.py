"""`/v1/carts` and `/v1/carts/open` say what a brute-force count over all events says."""

import functools
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import strategies as st
from msgspec import to_builtins

from aggregates.carts.answer.overview import CartSettings, carts, open_carts
from stream.store.sql.store import SqlStore
from tests.support.examples import on_each_store
from tests.support.oracles.oracle_carts import answer as oracle
from tests.support.oracles.oracle_carts import seen
from tests.support.shopify.cart_events import (
    DAY,
    SHOP,
    CartEvent,
    checkout,
    checkouts_in,
    emptied,
    events_drawn,
    fold,
    ms,
    tick,
)
from tests.support.shops.carts_shop import before, simulated


def close(shown: dict[str, str], expected: float, within: float = 0.0) -> None:
    assert float(Decimal(shown["amount"])) * 100 == pytest.approx(
        expected, rel=within + 1e-9, abs=1.0
    )


def assert_answer(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name in ("states", "recovered_revenue", "other_currencies", "online_carts"):
        assert found[name] == expected[name], name
    for name in ("abandonment_rate", "abandonment_rate_shopify"):
        assert {key: value for key, value in found[name].items() if key != "reason"} == expected[
            name
        ]
        assert (found[name]["value"] is None) == (found[name]["reason"] is not None)
    for rate, wanted in zip(found["recovery_rate"], expected["recovery_rate"], strict=True):
        assert {key: value for key, value in rate.items() if key != "reason"} == wanted
        assert (rate["value"] is None) == (rate["reason"] is not None)
    potential = found["recovery_potential"]
    close(potential["expected"], expected["expected"])
    close(potential["open_value"], expected["open_value"])
    close(potential["low"], expected["low"], 0.02)
    close(potential["high"], expected["high"], 0.02)
    assert (potential["open_carts"], potential["prior_driven"]) == (
        expected["open_carts"],
        expected["prior_driven"],
    )
    for stratum, (band, customer, open_count, value, worth, probability) in zip(
        found["strata"], expected["strata"], strict=True
    ):
        assert (stratum["value_band"], stratum["customer"], stratum["open_carts"]) == (
            band,
            customer,
            open_count,
        )
        close(stratum["open_value"], value)
        close(stratum["expected"], worth)
        assert stratum["probability"] == (
            None if probability is None else pytest.approx(probability)
        )


def asked(store: SqlStore, now_ms: int, settings: CartSettings) -> dict[str, Any]:
    with store.snapshot() as snapshot:
        answer: dict[str, Any] = to_builtins(carts(snapshot, SHOP, now_ms, settings))
    return answer


def pages(store: SqlStore, now_ms: int, limit: int, **filters: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor = None
    with store.snapshot() as snapshot:
        while True:
            page = to_builtins(
                open_carts(snapshot, SHOP, now_ms, limit, cursor, **filters)  # type: ignore[arg-type]
            )
            assert len(page["items"]) <= limit
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return items


@functools.cache
def simulated_until(
    seed: int, day: float, after_minutes: int
) -> tuple[list[CartEvent], dict[str, Any]]:
    """The events of a shop up to a day, and what the oracle says of them, on either database."""
    found = before(simulated(seed, 300, 30), ms(day * DAY))
    return found, oracle(found, ms(day * DAY), after_minutes)


@pytest.mark.parametrize(("seed", "after_minutes"), [(1, 60), (2, 60), (3, 30)])
def test_every_number_agrees_with_brute_force_while_the_clock_goes_on(
    store: SqlStore, seed: int, after_minutes: int
) -> None:
    chosen = CartSettings(after_minutes)
    for day, ticks in (
        (3, False),
        (20.2, False),
        (29.987, True),
        (36.5, False),
        (43, True),
        (95, False),
        (95, True),
    ):
        now_ms = ms(day * DAY)
        found, expected = simulated_until(seed, day, after_minutes)
        fold(store, found, now_ms, after_minutes)
        if ticks or day > 90:
            tick(store, now_ms, after_minutes)
        assert_answer(asked(store, now_ms, chosen), expected)


@on_each_store(
    sqlite=60,
    postgresql=6,
    events=st.lists(events_drawn(), max_size=14),
    day=st.sampled_from([40, 47, 60]),
)
def test_every_checkouts_state_agrees_with_brute_force(
    store: SqlStore, events: list[CartEvent], day: int
) -> None:
    emptied(store)
    now_ms = ms(day * DAY)
    fold(store, events, now_ms)
    rows = {
        row.token: (row.state, row.is_returning, row.closed_ms)
        for row in checkouts_in(store)
        if row.state
    }
    expected = {
        it.token: ("open" if it.is_open else it.state, int(it.returning), it.closed or -1)
        for it in seen(events, now_ms)
    }
    assert rows == expected


def test_states_are_exact_at_the_minute_though_the_histogram_has_ten(store: SqlStore) -> None:
    fold(store, [checkout(f"t{minute}", minute) for minute in range(0, 200, 3)], ms(200))
    for now in (60.0, 69.99, 119.999, 180.0, 260.0):
        states = asked(store, ms(now), CartSettings())["states"]
        assert states["abandoned"]["carts"] == sum(
            now - minute >= 60 for minute in range(0, 200, 3)
        )


def test_expired_is_shown_before_the_tick_has_written_it(store: SqlStore) -> None:
    fold(store, [checkout("a", 0), checkout("b", 5)], ms(10))
    now_ms = ms(14 * DAY + 2)
    found = asked(store, now_ms, CartSettings())
    assert found["states"]["expired"]["carts"] == 1
    tick(store, now_ms)
    assert asked(store, now_ms, CartSettings()) == found


def test_open_carts_come_by_expected_value_page_by_page_without_loss_or_repetition(
    store: SqlStore,
) -> None:
    events, now_ms = simulated(4, 400, 16), ms(16 * DAY)
    events = before(events, now_ms)
    fold(store, events, now_ms)
    ranking = oracle(events, now_ms)["ranking"]
    for limit in (7, 50, 500):
        items = pages(store, now_ms, limit)
        assert sorted(item["token"] for item in items) == sorted(token for _, token in ranking)
        assert len(ranking) > 100
        worth = {token: -minus for minus, token in ranking}
        shown = [worth[item["token"]] for item in items]
        assert shown == pytest.approx([-minus for minus, _ in ranking])
        assert [float(item["expected"]["amount"]) * 100 for item in items] == pytest.approx(
            shown, abs=0.51
        )


def test_an_open_cart_is_shown_with_its_recovery_link_and_without_contact_data(
    store: SqlStore,
) -> None:
    now_ms = ms(95)
    fold(store, [checkout("a", 0, email="someone@example.org", cart="x", total=12_345)], now_ms)
    (item,) = pages(store, now_ms, 10)
    assert 0 < item.pop("probability") < 0.1
    assert 0 < float(item.pop("expected")["amount"]) < 12.345
    assert item == {
        "token": "a",
        "cart_token": "x",
        "value": {"amount": "123.45", "currency_code": "USD"},
        "updated_at": "2026-08-01T00:00:00.000Z",
        "age_minutes": 95,
        "state": "abandoned",
        "value_band": "low",
        "customer": "new",
        "recovery_url": f"https://{SHOP}/checkouts/ac/a/recover?key=k",
    }


def test_open_carts_can_be_asked_for_by_state_band_and_customer(store: SqlStore) -> None:
    events, now_ms = simulated(5, 300, 10), ms(10 * DAY)
    fold(store, before(events, now_ms), now_ms)
    everyone = pages(store, now_ms, 100)
    for name, values in (
        ("state", ("active", "abandoned")),
        ("value_band", ("low", "mid", "high")),
        ("customer", ("new", "returning")),
    ):
        for value in values:
            assert pages(store, now_ms, 20, **{name: value}) == [
                item for item in everyone if item[name] == value
            ]


@pytest.mark.parametrize(
    "how",
    [{"cursor": "nonsense"}, {"cursor": "e30"}, {"state": "recovered"}, {"value_band": "huge"}],
)
def test_a_strange_cursor_or_filter_is_refused(store: SqlStore, how: dict[str, str]) -> None:
    with store.snapshot() as snapshot, pytest.raises(ValueError):
        open_carts(snapshot, SHOP, ms(0), **how)  # type: ignore[arg-type]


def test_a_shop_without_checkouts_says_why_there_is_nothing(store: SqlStore) -> None:
    found = asked(store, ms(0), CartSettings(currency="EUR"))
    assert found["reason"]
    assert found["states"]["active"] == {
        "carts": 0,
        "value": {"amount": "0.00", "currency_code": "EUR"},
    }
    assert all(rate["value"] is None and rate["reason"] for rate in found["recovery_rate"])
    assert pages(store, ms(0), 10) == []
