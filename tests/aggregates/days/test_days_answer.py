"""`GET /v1/days`: every number is what a plain loop over the orders finds, after any shuffle and
after a rebuild."""

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from msgspec.structs import replace

from aggregates.bad_parameter import BadParameter
from aggregates.budget import projection as budget
from aggregates.budget.fold.attribution import attribute
from aggregates.days.answer.days import METRICS
from aggregates.days.answers import ANSWERS
from aggregates.days.fold import projection as days
from aggregates.question import Question
from destinations.delivery.ledger import claim, settle, settle_sent
from destinations.delivery.life import tidy
from destinations.delivery.results import Attempt, dead, sent
from destinations.delivery.rows import ACCOUNTS, OUTBOX, AccountRow, OutboxRow
from processors.orders.row import OrderRow, counts
from processors.orders.state import net, paid_back
from query.api_settings import ShopAnswerSettings
from stream.store.sql.store import SqlStore
from stream.times import day_text
from tests.support.shopify.orders import DAY0, SHOP, order
from tests.support.shops.days_shop import (
    CAMPAIGNS,
    LAST,
    NOW_MS,
    events_of_shop,
    fold_days,
    rebuilt,
    reports,
)

Json = dict[str, Any]
PATHS = {answer.path: answer for answer in ANSWERS}
CALLED = {
    ("(none)", "", ""): "(none)",
    ("(direct)", "", ""): "(direct)",
    ("klaviyo", "", ""): "klaviyo",
    ("meta", "", ""): "meta",
    ("meta", "7", ""): "Summer",
    ("meta", "", "summer"): "Summer",
    ("google", "", "brand"): "Brand",
}


def answer(
    store: SqlStore,
    path: str = "/v1/days",
    zone: ZoneInfo | None = None,
    now_ms: int = NOW_MS,
    **asked: Any,
) -> Json:
    found = PATHS[path]
    assert found.answer is not None
    values = {each.name: each.default for each in found.parameters}
    values |= {
        each.name: each.read(str(asked[each.name.replace("from", "since")]))
        for each in found.parameters
        if each.name.replace("from", "since") in asked
    }
    with store.snapshot() as snapshot:
        question = Question(snapshot, SHOP, now_ms, LAST, values, ShopAnswerSettings(zone=zone))
        made: Json = msgspec.json.decode(msgspec.json.encode(found.answer(question)))
    return made


def money(units: int) -> Json:
    return {"amount": f"{units // 100}.{units % 100:02}", "currency_code": "USD"}


def sales(store: SqlStore) -> tuple[list[OrderRow], set[str], dict[str, str]]:
    """Orders that count, the first ones among them by id, and merges."""
    columns = ", ".join(OrderRow._fields)
    with store.snapshot() as snapshot:
        rows = [OrderRow._make(row) for row in snapshot.query(f"SELECT {columns} FROM shop_order")]
        kept = dict(snapshot.query("SELECT deleted, kept FROM customer_alias"))
    found = [row for row in rows if counts(row)]
    firsts: dict[str, OrderRow] = {}
    for row in sorted(found, key=lambda row: (row.processed_ms, row.order_id)):
        if row.customer:
            firsts.setdefault(kept.get(row.customer, row.customer), row)
    return found, {row.order_id for row in firsts.values()}, kept


def brute(store: SqlStore, by: str) -> dict[tuple[str, str], Json]:
    """(day, value) -> what the orders of that day and value sum to."""
    found, firsts, _ = sales(store)
    sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * 6)
    for row in found:
        if row.currency != "USD":
            continue
        value = {
            "": "",
            "channel": row.source_name,
            "country": row.country or "(none)",
            "campaign": CALLED[attribute(row.landing)],
        }[by]
        cell = sums[day_text(row.day), value]
        first = row.order_id in firsts
        later = bool(row.customer) and not first
        for place, each in enumerate(
            (1, net(row), first, first * net(row), later * net(row), paid_back(row))
        ):
            cell[place] += each
    return {
        key: {
            "orders": orders,
            "revenue": money(revenue),
            "new_customers": new,
            "new_revenue": money(new_revenue),
            "returning_revenue": money(returning),
            "refunds": money(refunds),
        }
        for key, (orders, revenue, new, new_revenue, returning, refunds) in sums.items()
    }


SINCE, UNTIL = day_text(DAY0), day_text(LAST)


@pytest.mark.parametrize("by", ["", "channel", "country", "campaign"])
def test_every_number_is_what_a_loop_over_the_orders_finds_after_any_shuffle_and_rebuild(
    store: SqlStore, by: str
) -> None:
    events = events_of_shop(1)
    random.Random(by).shuffle(events)
    fold_days(store, events, reports(1))
    asked: Json = {"since": SINCE, "to": UNTIL, **({"by": by} if by else {})}
    found = answer(store, **asked)
    expected = brute(store, by)
    items = {(item["day"], item["by"].get(by, "")): item for item in found["items"]}
    assert len(items) == len(found["items"])
    for key, sums in expected.items():
        assert {name: items[key][name] for name in sums} == sums
    assert all(not items[key]["orders"] for key in items.keys() - expected.keys())
    listed = [item["day"] for item in found["items"]]
    assert listed == sorted(listed, reverse=True)
    rebuilt(store)
    assert answer(store, **asked) == found
    total = found["total"]
    assert total["orders"] == sum(sums["orders"] for sums in expected.values())
    assert total["new_customers"] == sum(sums["new_customers"] for sums in expected.values())
    assert found["other_currency_orders"] > 0


@pytest.mark.parametrize("seed", [1, 6, 7])
def test_the_total_is_what_a_loop_over_all_orders_finds_after_any_shuffle_and_rebuild(
    store: SqlStore, seed: int
) -> None:
    events, spend = events_of_shop(seed), reports(seed)
    random.Random(seed).shuffle(events)
    fold_days(store, events, spend)
    found = answer(store, since=SINCE, to=UNTIL)
    rows, firsts, _ = sales(store)
    usd = [row for row in rows if row.currency == "USD"]
    new = [row for row in usd if row.order_id in firsts]
    later = [row for row in usd if row.customer and row.order_id not in firsts]
    spent, reported = sum(report.spend for report in spend), {report.day for report in spend}
    assert found["total"] == {
        "orders": len(usd),
        "revenue": money(sum(map(net, usd))),
        "refunds": money(sum(map(paid_back, usd))),
        "new_customers": len(new),
        "new_revenue": money(sum(map(net, new))),
        "returning_revenue": money(sum(map(net, later))),
        "new_customer_share": len(new) / len(usd),
        "spend": money(spent),
        "roas": sum(net(row) for row in usd if row.day in reported) / spent,
    }
    assert found["other_currency_orders"] == len(rows) - len(usd)
    for by in ("channel", "country", "campaign"):
        assert answer(store, since=SINCE, to=UNTIL, by=by)["total"] == found["total"], by
    rebuilt(store, days.projection(), budget.projection())
    for by in ("channel", "country", "campaign"):
        assert answer(store, since=SINCE, to=UNTIL, by=by)["total"] == found["total"], by
    assert answer(store, since=SINCE, to=UNTIL) == found


@pytest.mark.parametrize("by", ["", "campaign"])
def test_spend_is_that_of_the_newest_reports_after_any_shuffle_and_rebuild_and_null_where_none_came(
    store: SqlStore, by: str
) -> None:
    spend, rng = reports(2), random.Random(f"spend {by}")
    older = [each._replace(spend=7_777, reported_us=0) for each in spend[::5]]
    events, arriving = events_of_shop(2), spend + older
    rng.shuffle(events)
    rng.shuffle(arriving)
    fold_days(store, events, arriving)
    asked: Json = {"by": by} if by else {}
    found = answer(store, since=SINCE, to=UNTIL, **asked)
    sums: defaultdict[tuple[str, str], int] = defaultdict(int)
    for report in spend:
        sums[day_text(report.day), report.campaign_name if by else ""] += report.spend
    for item in found["items"]:
        spent = sums.get((item["day"], item["by"].get(by, "")))
        assert item["spend"] == (None if spent is None else money(spent))
        revenue = int(item["revenue"]["amount"].replace(".", ""))
        assert item["roas"] == (revenue / spent if spent else None)
    assert {item["by"].get(by) for item in found["items"] if item["spend"]} == (
        {name for _, _, name in CAMPAIGNS} if by else {None}
    )
    assert found["total"]["spend"] == money(sum(sums.values()))
    assert any("no spend report" in reason for reason in found["reasons"])
    rebuilt(store, days.projection(), budget.projection())
    assert answer(store, since=SINCE, to=UNTIL, **asked) == found


def test_only_the_metrics_asked_for_are_reported(store: SqlStore) -> None:
    fold_days(store, events_of_shop(1, 40), [])
    for item in answer(store, metrics="orders, roas")["items"]:
        assert set(item) == {"day", "by", "orders", "roas"}
    assert set(answer(store)["items"][0]) == {"day", "by", *METRICS}


def test_without_a_range_the_last_30_days_are_reported_each_once(store: SqlStore) -> None:
    fold_days(store, events_of_shop(1, 40), [])
    listed = [item["day"] for item in answer(store)["items"]]
    assert listed == [day_text(LAST - n) for n in range(30)]


def test_many_values_are_distinguished_by_revenue_and_the_rest_is_one(store: SqlStore) -> None:
    events = [
        replace(order(f"{n}", total=100 * n, day=LAST), country=f"C{n}") for n in range(1, 41)
    ]
    fold_days(store, events, [])
    items = answer(store, by="country")["items"]
    assert len(items) == 26
    (rest,) = [item for item in items if item["by"]["country"] == "(other)"]
    assert (rest["orders"], rest["revenue"]) == (15, money(sum(100 * n for n in range(1, 16))))


def test_a_range_that_is_none_or_too_long_is_refused(store: SqlStore) -> None:
    fold_days(store, events_of_shop(1, 10), [])
    for since, until in ((LAST, LAST - 1), (LAST - 400, LAST)):
        with pytest.raises(BadParameter, match="are not 1 to 400 days"):
            answer(store, since=day_text(since), to=day_text(until))


def test_before_the_first_order_the_reason_says_so(store: SqlStore) -> None:
    found = answer(store)
    assert (found["items"], found["total"]) == ([], None)
    assert found["reasons"] == ["no order that counts was folded for this shop yet"]


@pytest.mark.parametrize("text", ["2026-02-30", "20260101", "yesterday", "2026-1-1", ""])
def test_what_is_no_day_is_refused(text: str) -> None:
    (parameter,) = [each for each in PATHS["/v1/days"].parameters if each.name == "to"]
    with pytest.raises(ValueError, match="to is no day"):
        parameter.read(text)


def sendable(row: OrderRow, destination: str, due_ms: int = NOW_MS) -> OutboxRow:
    """The order's event, to be sent now. Events are claimed as they became due."""
    return OutboxRow(
        shop=SHOP,
        destination=destination,
        event_name="Purchase",
        event_id=row.order_id,
        order_id=row.order_id,
        updated_us=1,
        triggered="",
        digest="",
        outcome="pending",
        reason="",
        received_ms=NOW_MS,
        due_ms=due_ms,
        expires_ms=NOW_MS + 86_400_000,
        day=row.day,
        currency=row.currency,
        value=row.total,
    )


def claimed(store: SqlStore, destination: str, limit: int) -> list[OutboxRow]:
    with store.begin() as transaction:
        return claim(transaction, store.dialect, SHOP, destination, "a", NOW_MS, 60_000, limit)


def send_most(
    store: SqlStore, rows: Sequence[OrderRow], rng: random.Random, *, whole_claims: bool
) -> set[str]:
    """Send the events of two accounts, in any order. Returns the orders whose event the first one
    took."""
    with store.begin() as transaction:
        events = [
            sendable(row, name, NOW_MS - rng.randrange(1_000))
            for name in ("meta", "other")
            for row in rows
        ]
        transaction.save(OUTBOX, events)
    made, taken = Attempt(NOW_MS, 5, "sent"), set[str]()
    for destination in ("meta", "other"):
        while batch := claimed(store, destination, 40):
            refused = set() if whole_claims else {row.order_id for row in batch[::3]}
            with store.begin() as transaction:
                if whole_claims:
                    settle_sent(transaction, store.dialect, batch, made)
                else:
                    results = [
                        dead(row, made, "no") if row.order_id in refused else sent(row, made)
                        for row in batch
                    ]
                    assert settle(transaction, "a", results) == len(batch)
            if destination == "meta":
                taken |= {row.order_id for row in batch} - refused
    return taken


@pytest.mark.parametrize("whole_claims", [True, False])
def test_what_meta_has_taken_in_any_order_counts_on_the_day_of_its_order_for_ever(
    store: SqlStore, whole_claims: bool
) -> None:
    rng, events = random.Random(whole_claims), events_of_shop(8)
    rng.shuffle(events)
    fold_days(store, events, [])
    usd = [row for row in sales(store)[0] if row.currency == "USD"]
    taken = send_most(store, usd, rng, whole_claims=whole_claims)
    sent_on: defaultdict[str, list[int]] = defaultdict(list)
    for row in usd:
        if row.order_id in taken:
            sent_on[day_text(row.day)].append(row.total)

    def check() -> None:
        for item in answer(store, since=day_text(LAST - 140), to=UNTIL)["items"]:
            totals = sent_on[item["day"]]
            assert item["sent"] == len(totals)
            assert item["value_sent"] == money(sum(totals))

    check()
    rebuilt(store)
    check()
    for months in (1, 3):  # Rows shrink, then go.
        with store.begin() as transaction:
            tidy(transaction, NOW_MS + months * 31 * 86_400_000, 90)
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT COUNT(*) FROM outbox WHERE outcome = 'sent'")[0][0] == 0
    check()


def test_days_before_the_count_are_not_known(store: SqlStore) -> None:
    fold_days(store, events_of_shop(8, 40), [])
    with store.begin() as transaction:
        transaction.save(ACCOUNTS, [AccountRow(SHOP, "meta", sent_since_day=LAST - 5)])
    found = answer(store)
    known = {item["day"]: item["sent"] is not None for item in found["items"]}
    assert known == {day_text(LAST - age): age <= 5 for age in range(30)}
    assert f"what was sent is known from {day_text(LAST - 5)} on" in " ".join(found["reasons"])


def test_spend_in_another_currency_is_left_out_and_said(store: SqlStore) -> None:
    euros = [report._replace(currency="EUR") for report in reports(4)]
    fold_days(store, events_of_shop(4), euros)
    found = answer(store, since=SINCE, to=UNTIL)
    assert {item["spend"] for item in found["items"]} == {None}
    assert (found["total"]["spend"], found["total"]["roas"]) == (None, None)
    assert (
        "spend that was reported in another currency than the shop's is left out"
        in (found["reasons"])
    )
