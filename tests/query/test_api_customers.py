"""/v1/rfm/customers: every customer exactly once, in order, under every sort and segment, on every
page size; and the exports."""

import csv
import io
import random
from hashlib import sha256
from typing import Any

import pytest
from aiohttp import hdrs

from aggregates.rfm.answer.customer_rows import SORTS
from aggregates.rfm.answer.overview import RfmSettings
from aggregates.rfm.answer.segments import SEGMENTS
from aggregates.rfm.fold.customer import MAX_ORDERS
from aggregates.rfm.fold.money_bins import bin_edge
from destinations.meta.contacts import CONTACTS, ContactRow
from destinations.meta.event.identity import hashed
from processors.orders.customer import customer_key
from processors.shopify.orders import CustomersMerged, OrderEvent
from query.api_settings import ShopAnswerSettings
from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import TODAY, Api, fold, serving
from tests.support.api.api_shop import fill
from tests.support.oracles import oracle_rfm
from tests.support.shopify.orders import SHOP, order
from tests.support.shops.folding import rfm_orders

Json = dict[str, Any]
PREDICTING = {SHOP: ShopAnswerSettings(rfm=RfmSettings(min_repeaters=1, refit_s=0.0))}


def simulated(seed: int, customers: int = 150) -> list[oracle_rfm.Order]:
    """Many ties, some customers beyond the cap of orders, some whose orders have all left the
    window."""
    rng = random.Random(seed)
    orders = []
    for number in range(customers):
        who = f"g:{number:032x}" if number % 9 == 0 else f"{1000 + number}"
        count = rng.choice([1, 1, 1, 2, 2, 3, 5, 34, 40]) if number % 10 else 33 + number % 3
        last = TODAY - rng.choice([0, 1, 1, 5, 40, 200, 364, 365, 500])
        orders += [
            oracle_rfm.Order(
                who,
                last - rng.choice([0, 0, 3]),
                rng.choice([0, 100, 100, 999, rng.randint(1, 9_000)]),
            )
            for _ in range(count)
        ]
    return orders


def loyal(seed: int, customers: int = 300) -> list[oracle_rfm.Order]:
    """Customers as the predictive models have them: some leave after each order, each with a rate
    and a level of spending of their own."""
    rng = random.Random(seed)
    orders = []
    for number in range(customers):
        who = f"g:{number:032x}" if number % 9 == 0 else f"{1000 + number}"
        day, rate, leaves, level = (
            TODAY - rng.uniform(0, 400),
            rng.gammavariate(0.9, 1 / 25),
            rng.betavariate(1.2, 3),
            rng.gammavariate(4, 1_000),
        )
        while day <= TODAY:
            orders.append(oracle_rfm.Order(who, int(day), round(rng.gammavariate(6, level / 6))))
            if rng.random() < leaves:
                break
            day += 1 + rng.expovariate(rate)
    return orders


def folded(store: SqlStore, orders: list[oracle_rfm.Order], exact_below: int) -> None:
    shown: list[OrderEvent] = [
        order(f"{number}", customer=each.customer, day=each.day, total=each.cents)
        for number, each in enumerate(orders)
    ]
    fold(store, [shown], processor=rfm_orders({}, exact_below=exact_below))


async def everyone(api: Api, limit: int, **query: str) -> list[Json]:
    found: list[Json] = []
    cursor: str | None = None
    while True:
        page = await api.answer(
            "/v1/rfm/customers", {"limit": limit, **query, **({"cursor": cursor} if cursor else {})}
        )
        assert len(page["items"]) == limit or page["next_cursor"] is None
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def place(sort: str, item: Json) -> tuple[Any, ...]:
    if sort == "recency":
        return item["last_order_day"], item["frequency"]
    return (
        (item["frequency"], item["last_order_day"])
        if sort == "frequency"
        else (float(item["monetary"]["amount"]),)
    )


@pytest.mark.parametrize("exact_below", [50_000, 1])
async def test_every_customer_comes_exactly_once_in_order_under_every_sort_and_segment(
    store: SqlStore, log: SqliteLog, exact_below: int
) -> None:
    orders = simulated(exact_below)
    folded(store, orders, exact_below)
    round_money = bin_edge if exact_below == 1 else int
    expected = oracle_rfm.rfm_of(
        orders, TODAY, round_money=round_money, orders_cap=MAX_ORDERS
    ).scored
    rng = random.Random(5)
    async with serving(store, log) as api:
        for sort in SORTS:
            for segment in (None, *SEGMENTS):
                query = {"sort": sort} | ({"segment": segment} if segment else {})
                items = await everyone(
                    api, rng.choice([1, 7, 30, 1_000]) if segment else 13, **query
                )
                wanted = {
                    who for who, score in expected.items() if segment in (None, score.segment)
                }
                assert sorted(item["id"] for item in items) == sorted(wanted), query
                places = [place(sort, item) for item in items]
                assert places == sorted(places, reverse=True), query
                for item in items:
                    score = expected[item["id"]]
                    shown = (
                        item["recency_days"],
                        item["frequency"],
                        item["r"],
                        item["f"],
                        item["m"],
                        item["fm"],
                        item["segment"],
                    )
                    assert shown == (
                        score.recency_days,
                        score.orders,
                        score.r,
                        score.f,
                        score.m,
                        score.fm,
                        score.segment,
                    )
                    assert float(item["monetary"]["amount"]) * 100 == pytest.approx(score.cents)


async def test_a_customer_is_answered_by_id_as_in_the_list(store: SqlStore, log: SqliteLog) -> None:
    folded(store, loyal(1, 120), 50_000)
    async with serving(store, log, shops=PREDICTING) as api:
        for item in await everyone(api, 100):
            shown = await api.answer(f"/v1/rfm/customers/{item['id']}")
            assert {key: shown[key] for key in item} == item
            assert 0 <= shown["ltv_predicted"]["p_alive"] <= 1


async def test_a_customer_outside_the_window_is_reported_without_scores_and_why(
    store: SqlStore, log: SqliteLog
) -> None:
    fold(
        store,
        [
            [
                order(f"{number}", customer=f"{number}", day=TODAY - 100 * number)
                for number in range(8)
            ]
        ],
    )
    async with serving(store, log) as api:
        shown = await api.answer("/v1/rfm/customers/7")
        assert (shown["frequency"], shown["segment"], shown["r"], shown["recency_days"]) == (
            0,
            None,
            None,
            700,
        )
        assert "365 days" in shown["reason"]
        assert "7" not in {item["id"] for item in await everyone(api, 100)}


async def test_a_merged_customer_is_answered_as_the_one_kept(
    store: SqlStore, log: SqliteLog
) -> None:
    fold(
        store,
        [
            [order("1", customer="1"), order("2", customer="2")],
            [CustomersMerged(shop=SHOP, kept_id="2", deleted_id="1")],
        ],
    )
    async with serving(store, log) as api:
        assert (await api.answer("/v1/rfm/customers/1"))["id"] == "2"
        assert (await api.answer("/v1/rfm/customers/3", status=404))["type"] == "/docs#not-found"


async def test_without_scores_a_segment_is_empty_and_the_list_is_not(
    store: SqlStore, log: SqliteLog
) -> None:
    fold(store, [[order("1", customer="1"), order("2", customer="2")]])
    async with serving(store, log) as api:
        shown = await api.answer("/v1/rfm/customers", {"segment": "champions"})
        assert (shown["items"], shown["next_cursor"]) == ([], None)
        assert "5 customers" in shown["reason"]
        assert [item["segment"] for item in await everyone(api, 1)] == [None, None]


async def test_a_cursor_belongs_to_its_list(store: SqlStore, log: SqliteLog) -> None:
    folded(store, simulated(1), 50_000)
    async with serving(store, log) as api:
        cursor = (await api.answer("/v1/rfm/customers", {"limit": 1}))["next_cursor"]
        for query in (
            {"sort": "monetary", "cursor": cursor},
            {"segment": "lost", "cursor": cursor},
            {"cursor": "x"},
            {"cursor": "W10"},
        ):
            shown = await api.answer("/v1/rfm/customers", query, status=400)
            assert shown["parameter"] == "cursor"


async def rows_of(
    api: Api, accept: str = "text/csv", **query: str
) -> tuple[list[dict[str, str]], str]:
    async with api.client.get(
        "/v1/rfm/customers", params=query, headers={hdrs.ACCEPT: accept}
    ) as response:
        assert response.status == 200
        assert response.content_type == "text/csv"
        return list(
            csv.DictReader(io.StringIO(await response.text(), newline=""))
        ), response.headers[hdrs.CONTENT_DISPOSITION]


async def test_a_segment_is_exported_as_csv_with_all_its_pages(
    store: SqlStore, log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("query.endpoints.customers.EXPORT_PAGE", 7)
    folded(store, loyal(1), 50_000)
    async with serving(store, log, shops=PREDICTING) as api:
        items = await everyone(api, 100, segment="champions")
        rows, name = await rows_of(api, segment="champions")
        assert len(rows) > 7
        assert [row["id"] for row in rows] == [item["id"] for item in items]
        assert [row["predicted_value"] for row in rows] == [
            item["ltv_predicted"]["value"]["amount"] for item in items
        ]
        assert {row["segment"] for row in rows} == {"champions"}
        assert "champions" in name


async def test_the_meta_layout_has_hashes_only_and_they_are_those_of_capi(
    store: SqlStore, log: SqliteLog
) -> None:
    folded(store, loyal(1), 50_000)
    async with serving(store, log, shops=PREDICTING) as api:
        items = await everyone(api, 100)
        rows, _ = await rows_of(api, accept="*/*", format="meta")
        known = [item["id"] for item in items if not item["guest"]]
        assert [row["extern_id"] for row in rows] == [
            sha256(customer.encode()).hexdigest() for customer in known
        ]
        assert [row["extern_id"] for row in rows] == [
            hashed("external_id", customer) for customer in known
        ]
        assert list(rows[0]) == ["email", "phone", "extern_id", "value"]
        assert {row[column] for row in rows for column in ("email", "phone")} == {""}


async def test_the_meta_layout_has_contacts_where_they_are_kept(
    store: SqlStore, log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page after page; of merged customers the newest; guests where Meta could match them."""
    monkeypatch.setattr("query.endpoints.customers.EXPORT_PAGE", 2)
    guest = order("5", customer=None, email="g@example.com")
    fold(
        store,
        [
            [
                *(order(f"{n}", customer=f"{n}") for n in range(1, 5)),
                guest,
                order("6", customer=None, email="h@example.com"),
            ]
        ],
    )
    fold(store, [[CustomersMerged(shop=SHOP, kept_id="2", deleted_id="1")]])
    kept = [
        ("1", "em", "e1", 2),
        ("1", "ph", "p1", 1),
        ("2", "em", "e2", 1),
        ("2", "ph", "p2", 2),
        ("3", "ph", "p3", 1),
    ]
    kept.append((customer_key(guest), "em", "eg", 1))
    rows_kept = [
        ContactRow(SHOP, customer, field, shown, version, "", "")
        for customer, field, shown, version in kept
    ]
    with store.begin() as transaction:
        transaction.save(
            CONTACTS, [*rows_kept, ContactRow("other.myshopify.com", "4", "em", "e4", 1, "", "")]
        )
    async with serving(store, log) as api:
        rows, _ = await rows_of(api, accept="*/*", format="meta")
    ids = {hashed("external_id", customer) or "": customer for customer in ("2", "3", "4")} | {
        "": "guest"
    }
    assert {ids[row["extern_id"]]: (row["email"], row["phone"]) for row in rows} == {
        "2": ("e1", "p2"),
        "3": ("", "p3"),
        "4": ("", ""),
        "guest": ("eg", ""),
    }
    assert len(rows) == 4


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_a_cell_of_the_grid_lists_its_customers(store: SqlStore, log: SqliteLog) -> None:
    fill(store)
    async with serving(store, log) as api:
        grid = (await api.answer("/v1/rfm"))["grid"]
        for box in grid:
            asked = {"r": box["r"], "fm": box["fm"], "limit": 3}
            items, cursor = list[Json](), None
            while cursor is not None or not items:
                page = await api.answer(
                    "/v1/rfm/customers", asked | ({"cursor": cursor} if cursor else {})
                )
                items += page["items"]
                cursor = page["next_cursor"]
                if not page["items"]:
                    break
            assert len({each["id"] for each in items}) == len(items) == box["customers"]
            assert {(each["r"], each["fm"]) for each in items} <= {(box["r"], box["fm"])}
        for query in (
            {"r": 5},
            {"fm": 2},
            {"r": 5, "fm": 2, "segment": "loyal"},
            {"r": 6, "fm": 1},
        ):
            problem = await api.answer("/v1/rfm/customers", query, status=400)
            assert problem["parameter"] in ("r", "fm", "segment")
