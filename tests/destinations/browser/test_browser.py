"""The browser's facts and the sales that they complete, in every order of arrival."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import permutations
from typing import Any

import orjson
import pytest

from destinations.browser.facts import FACTS, HOUR_MS
from destinations.browser.processor import Browser, Post
from destinations.delivery.ledger import claim, due_accounts, register, settle_sent
from destinations.delivery.outbox import OutboxProcessor
from destinations.delivery.results import Attempt
from destinations.delivery.rows import CELLS, NO_CONSENT, PENDING, SENT, OutboxRow, cells
from destinations.meta.kind import KIND
from processors.engine.processor import Deltas
from processors.shopify.orders import Order
from stream.store.contract import Store
from tests.support.delivery.browser_posts import ALL, FBC, FBP, browser, post
from tests.support.delivery.capi_orders import ACCOUNT, NOW, NOW_MS, SHOP, processor, seen, settings

TOKEN = "checkout1001"
WEEK_MS = 7 * 24 * HOUR_MS
BARE: dict[str, Any] = {
    "checkout_token": TOKEN,
    "note_attributes": [],
    "landing_site": "/",
    "client_details": {},
}
"""An order that lacks what only the browser knows."""


def later(again: bool) -> dict[str, Any]:
    """A later state of the order."""
    return {"updated_at": NOW.isoformat()} if again else {}


def rows(store: Store) -> list[OutboxRow]:
    with store.snapshot() as snapshot:
        found = snapshot.query(f"SELECT {', '.join(OutboxRow._fields)} FROM outbox")
    return [OutboxRow(*row) for row in found]


def facts(store: Store) -> list[Any]:
    with store.snapshot() as snapshot:
        return snapshot.query(f"SELECT {', '.join(FACTS.row._fields)} FROM browser_fact")


def apply(store: Store, to: OutboxProcessor | Browser, *events: Any, now_ms: int = NOW_MS) -> None:
    with store.begin() as transaction:
        to.apply(transaction, events, now_ms)


def tick(store: Store, now_ms: int = NOW_MS, pixel: Browser | None = None) -> None:
    with store.begin() as transaction:
        (pixel or browser()).tick(transaction, now_ms, SHOP)


def shown(store: Store, at_ms: int = NOW_MS) -> None:
    """The shop has had the pixel for a while."""
    with store.begin() as transaction:
        transaction.execute(
            "INSERT INTO browser_shop (shop, seen_ms, shown_ms) VALUES (:shop, :at, :at)",
            shop=SHOP,
            at=at_ms,
        )


def user_data(row: OutboxRow) -> dict[str, Any]:
    data: dict[str, Any] = orjson.loads(row.payload)["user_data"]
    return data


def test_facts_complete_a_sale_whichever_comes_first(store: Store) -> None:
    started = post(**ALL | {"fbc": None})
    completed = post(**ALL, event_id="sh-2")
    payloads = set()
    for arrival in permutations(["order", "started", "completed"]):
        with store.begin() as transaction:
            for table in (
                "outbox",
                "outbox_cell",
                "outbox_day_cell",
                "browser_fact",
                "browser_shop",
                "meta_click",
            ):
                transaction.execute(f"DELETE FROM {table}")
        shown(store)
        meta, pixel = processor(settings()), browser()
        for what in arrival:
            if what == "order":
                apply(store, meta, seen(**BARE))
            else:
                apply(store, pixel, started if what == "started" else completed)
        (row,) = rows(store)
        payloads.add(row.payload)
        assert (row.outcome, row.browser, row.due_ms) == (PENDING, 1, NOW_MS)
        assert user_data(row)["fbp"] == FBP
        assert user_data(row)["fbc"] == FBC
        assert user_data(row)["client_user_agent"] == "Mozilla/5.0 (browser)"
    assert len(payloads) == 1


def test_what_the_order_has_stays(store: Store) -> None:
    shown(store)
    apply(store, browser(), post(**ALL))
    apply(store, processor(settings()), seen(checkout_token=TOKEN))
    (row,) = rows(store)
    (without,) = [seen(checkout_token="other1001")]
    apply(store, processor(settings()), without)
    data = user_data(row)
    assert data["fbp"] == "fb.1.1790000000123.1116446470"
    assert data["client_user_agent"] == "Mozilla/5.0 (X11; Linux x86_64)"
    assert FBC not in data["fbc"]


@pytest.mark.parametrize("wait_s", [3.0, 0.0])
def test_a_sale_waits_only_where_the_shop_has_shown_that_it_has_the_pixel(
    store: Store, wait_s: float
) -> None:
    meta = processor(settings(browser_wait_s=wait_s))
    apply(store, meta, seen(id=1, checkout_token="checkout0001"))
    with store.begin() as transaction:
        transaction.execute("DELETE FROM browser_shop")
    shown(store)
    apply(store, meta, seen(id=2, checkout_token="checkout0002"))
    apply(store, meta, seen(id=3, checkout_token=None))
    apply(store, meta, seen(id=4, checkout_token="checkout0004", source_name="pos"))
    later = NOW_MS + WEEK_MS
    made = (NOW + timedelta(days=7)).isoformat()
    fifth = seen(later, id=5, checkout_token="checkout0005", created_at=made, processed_at=made)
    apply(store, meta, fifth, now_ms=later)
    waits = {row.order_id: (row.due_ms or 0) - row.received_ms for row in rows(store)}
    assert waits == {"1": 0, "2": round(wait_s * 1000), "3": 0, "4": 0, "5": 0}


def test_the_senders_look_says_when_a_waiting_sale_falls_due(store: Store) -> None:
    shown(store)
    with store.begin() as transaction:
        register(transaction, SHOP, ACCOUNT)
    apply(store, processor(settings()), seen(**BARE))
    with store.snapshot() as snapshot:
        (due,) = due_accounts(snapshot, NOW_MS)
        assert (due.due, due.next_ms) == (False, NOW_MS + 3_000)
    apply(store, browser(), post(**ALL))
    with store.snapshot() as snapshot:
        (due,) = due_accounts(snapshot, NOW_MS)
        assert (due.due, due.next_ms) == (True, None)


def refusal(**consent: bool) -> Post:
    return post(consent=consent)


@pytest.mark.parametrize("late", [False, True])
def test_a_refusal_of_marketing_forbids_what_was_not_sent(store: Store, *, late: bool) -> None:
    shown(store)
    steps: list[Callable[[], None]] = [
        lambda: apply(store, browser(), refusal(marketing=False)),
        lambda: apply(store, processor(settings()), seen(**BARE)),
    ]
    for step in reversed(steps) if late else steps:
        step()
    (row,) = rows(store)
    assert (row.outcome, row.payload) == (NO_CONSENT, b"")
    assert "privacy banner" in row.reason


def test_a_refusal_while_an_event_is_being_sent_keeps_it_from_being_sent_again(
    store: Store,
) -> None:
    shown(store)
    with store.begin() as transaction:
        register(transaction, SHOP, ACCOUNT)
    apply(store, processor(settings()), seen(**BARE))
    with store.begin() as transaction:
        claim(transaction, store.dialect, SHOP, ACCOUNT, "claim", NOW_MS + 3_000, 30_000, 10)
    apply(store, browser(), refusal(marketing=False))
    (row,) = rows(store)
    assert (row.outcome, row.veto) == ("sending", NO_CONSENT)


def test_a_refusal_drops_the_facts_that_came_before_it(store: Store) -> None:
    apply(store, browser(), post(**ALL), refusal(marketing=False))
    ((*_, kept),) = facts(store)
    assert orjson.loads(kept) == {"consent": {"marketing": False, "sale_of_data": True}}


@pytest.mark.parametrize("late", [False, True])
def test_a_refusal_of_the_sale_of_data_limits_its_use(store: Store, *, late: bool) -> None:
    shown(store)
    refused = refusal(marketing=True, sale_of_data=False, analytics=False)
    if late:
        apply(store, processor(settings()), seen(**BARE))
        apply(store, browser(), refused)
    else:
        apply(store, browser(), refused)
        apply(store, processor(settings()), seen(**BARE))
    event = orjson.loads(rows(store)[0].payload)
    assert event["data_processing_options"] == ["LDU"]
    assert event["data_processing_options_country"] == 0
    assert event["data_processing_options_state"] == 0


def test_facts_never_change_an_event_of_which_a_request_was_made(store: Store) -> None:
    shown(store)
    apply(store, processor(settings()), seen(**BARE))
    with store.begin() as transaction:
        transaction.execute("UPDATE outbox SET attempts = :line, due_ms = 5", line="{}\n")
    (before,) = rows(store)
    apply(store, browser(), post(**ALL))
    assert rows(store) == [before]


def test_facts_of_an_unpaid_order_wait_for_its_payment(store: Store) -> None:
    shown(store)
    meta = processor(settings())
    apply(store, meta, seen(**BARE, financial_status="pending"))
    apply(store, browser(), post(**ALL))
    two_days_later = NOW_MS + 48 * HOUR_MS
    tick(store, two_days_later)
    assert len(facts(store)) == 1
    paid = seen(two_days_later, **BARE, updated_at="2026-11-24T12:00:00+00:00")
    apply(store, meta, paid, now_ms=two_days_later)
    (row,) = rows(store)
    assert (row.outcome, row.browser) == (PENDING, 1)


def test_facts_are_kept_an_hour_for_a_token_that_no_sale_has(store: Store) -> None:
    apply(store, browser(), post(**ALL))
    tick(store, NOW_MS + HOUR_MS - 1)
    assert len(facts(store)) == 1
    tick(store, NOW_MS + HOUR_MS)
    assert facts(store) == []


def test_facts_go_once_their_sale_is_sent(store: Store) -> None:
    shown(store, NOW_MS - 2 * HOUR_MS)
    with store.begin() as transaction:
        register(transaction, SHOP, ACCOUNT)
    apply(store, processor(settings()), seen(**BARE))
    apply(store, browser(), post(**ALL))
    tick(store, NOW_MS)
    assert len(facts(store)) == 1
    with store.begin() as transaction:
        sold = claim(transaction, store.dialect, SHOP, ACCOUNT, "claim", NOW_MS, 30_000, 10)
        settle_sent(transaction, store.dialect, sold, Attempt(NOW_MS, 5, "sent", 200))
    tick(store, NOW_MS)
    assert facts(store) == []
    (row,) = rows(store)
    assert (row.outcome, row.payload, row.checkout_token) == (SENT, b"", "")
    with store.snapshot() as snapshot:
        (shop,) = snapshot.query("SELECT shown_ms FROM browser_shop")
    assert shop.shown_ms == NOW_MS


def test_ten_thousand_hostile_posts_make_change_and_delay_no_sale(store: Store) -> None:
    meta, pixel = processor(settings()), browser(most_unknown=1_000)
    apply(store, meta, seen(id=1, checkout_token="checkout0001"))
    before = rows(store)
    for start in range(0, 10_000, 500):
        apply(
            store,
            pixel,
            *(post(f"guess{start + number:08d}", NOW_MS + start, **ALL) for number in range(500)),
        )
    tick(store, NOW_MS + 10_000, pixel)
    assert rows(store) == before
    assert len(facts(store)) <= 1_000
    apply(store, meta, seen(id=2, checkout_token="checkout0002"))
    (second,) = [row for row in rows(store) if row.order_id == "2"]
    assert (second.due_ms, second.browser) == (second.received_ms, 0)


def sums(found: Sequence[OutboxRow]) -> dict[tuple[Any, ...], int]:
    deltas = Deltas()
    for row in found:
        deltas.add(cells(row))
    return {key: count for key, (count,) in deltas.of(CELLS).items()}


def test_coverage_is_shown_with_and_without_the_pixel(store: Store) -> None:
    shown(store)
    meta = processor(settings())
    apply(store, meta, seen(id=1, **BARE), seen(id=2, **BARE | {"checkout_token": "other002"}))
    apply(store, browser(), post(**ALL))
    with store.snapshot() as snapshot:
        answer = KIND.beside(snapshot, SHOP, ACCOUNT, "1234567890")["browser"]
        counted = snapshot.query("SELECT shop, destination, kind, name, events FROM outbox_cell")
    assert answer.completed_events == 1
    assert answer.match_keys_with["fbp"] == 1.0
    assert answer.match_keys_without["fbp"] == 0.0
    assert answer.match_keys_without["em"] == 1.0
    assert {tuple(row[:4]): row.events for row in counted if row.events} == sums(rows(store))


def test_an_order_entered_by_staff_takes_nothing_from_a_browser(store: Store) -> None:
    shown(store)
    apply(store, browser(), post(**ALL))
    by_staff: Order = seen(**BARE, user_id=5, source_name="shopify_draft_order")
    apply(store, processor(settings(source_draft="website")), by_staff)
    (row,) = rows(store)
    assert "fbp" not in user_data(row)


PIXEL_ID = "{pixel.event_id}"


def by_pixel_id() -> tuple[OutboxProcessor, Browser]:
    return processor(settings(event_id=PIXEL_ID)), browser(event_id=PIXEL_ID)


def test_the_browsers_event_id_is_the_events_whichever_comes_first(store: Store) -> None:
    started = post(event="checkout_started", **ALL, event_id="sh-1")
    completed = post(**ALL, event_id="sh-2")
    for arrival in permutations(["order", "again", "started", "completed"]):
        with store.begin() as transaction:
            for table in ("outbox", "outbox_cell", "outbox_day_cell", "browser_fact"):
                transaction.execute(f"DELETE FROM {table}")
            transaction.execute("DELETE FROM browser_shop")
        shown(store)
        meta, pixel = by_pixel_id()
        for what in arrival:
            if what in ("order", "again"):
                apply(store, meta, seen(**BARE, **later(what == "again")))
            else:
                apply(store, pixel, started if what == "started" else completed)
        (row,) = rows(store)
        event = orjson.loads(row.payload)
        assert (row.event_id, event["event_id"]) == ("sh-2", "sh-2"), arrival
        assert (row.order_id, row.outcome, row.due_ms) == ("1001", PENDING, NOW_MS), arrival
        with store.snapshot() as snapshot:
            counted = snapshot.query(
                "SELECT shop, destination, kind, name, events FROM outbox_cell"
            )
        assert {tuple(each[:4]): each.events for each in counted if each.events} == sums([row])


def test_without_the_browsers_event_a_sale_is_sent_under_an_id_of_its_own(store: Store) -> None:
    shown(store)
    meta, pixel = by_pixel_id()
    apply(store, meta, seen(**BARE))
    (row,) = rows(store)
    assert (row.event_id, row.due_ms) == ("order:1001", NOW_MS + 3_000)
    apply(store, pixel, post(event="checkout_started", **ALL, event_id="sh-1"))
    (row,) = rows(store)
    assert (row.event_id, row.due_ms, row.browser) == ("order:1001", NOW_MS + 3_000, 1)
    with store.begin() as transaction:
        transaction.execute("UPDATE outbox SET attempts = :line", line="{}\n")
    apply(store, pixel, post(**ALL, event_id="sh-2"))
    assert [row.event_id for row in rows(store)] == ["order:1001"], "a request was made with it"


def test_a_browser_cannot_give_its_sale_the_event_id_of_another(store: Store) -> None:
    shown(store)
    meta, pixel = by_pixel_id()
    apply(store, pixel, post(**ALL, event_id="sh-2"))
    apply(store, meta, seen(**BARE), seen(order_id=2, **BARE | {"checkout_token": "other0002"}))
    apply(store, pixel, post("other0002", **ALL, event_id="sh-2"))
    found = {row.order_id: row.event_id for row in rows(store)}
    assert found == {"1001": "sh-2", "2": "order:2"}


@pytest.mark.parametrize("late", [False, True])
def test_a_yes_in_the_privacy_banner_is_the_consent_that_an_order_says_nothing_of(
    store: Store, *, late: bool
) -> None:
    shown(store)
    meta = processor(settings(consent="_consent"))
    yes = post(consent={"marketing": True})
    if late:
        apply(store, meta, seen(**BARE))
        assert [row.outcome for row in rows(store)] == [NO_CONSENT]
        apply(store, browser(), yes)
        tick(store)
    else:
        apply(store, browser(), yes)
    apply(store, meta, seen(**BARE, **later(again=True)))
    (row,) = rows(store)
    assert (row.outcome, row.browser) == (PENDING, 1)


@pytest.mark.parametrize(
    ("attributes", "consent"),
    [
        ([], {"marketing": False}),
        ([], {"analytics": True}),
        ([{"name": "_consent", "value": "no"}], {"marketing": True}),
    ],
)
def test_a_no_of_the_order_or_of_the_banner_stays_a_no(
    store: Store, attributes: list[dict[str, str]], consent: dict[str, bool]
) -> None:
    shown(store)
    apply(store, browser(), post(consent=consent))
    order = seen(**BARE | {"note_attributes": attributes})
    apply(store, processor(settings(consent="_consent")), order)
    assert [row.outcome for row in rows(store)] == [NO_CONSENT]
