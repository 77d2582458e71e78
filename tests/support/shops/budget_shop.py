"""A shop's spend reports and orders as records, folded, and what `/v1/budget` answers."""

import json
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec import to_builtins

from aggregates.budget.advice.kelly import Caution
from aggregates.budget.answer.overview import BudgetSettings, budget
from stream.record import Entry, Record
from stream.store.sql.store import SqlStore
from tests.support.oracles.budget_truth import DIGITS, Cost, Merchant, Sale
from tests.support.shops.folding import budget_orders, budget_spend

on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
"""For what no database can change."""
SHOP = "a.myshopify.com"
TODAY = 20_779


def iso(day: int) -> str:
    """Days since 1970-01-01 as a date."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def decimal(units: int, currency: str) -> str:
    """Minor units as a decimal string."""
    return str(Decimal(units).scaleb(-DIGITS[currency]))


def entry(topic: str, body: dict[str, Any], label: str = "", time_ms: int = 0) -> Entry:
    return Entry(
        Record(topic, "k", "i", time_ms, {"shop": SHOP, "topic": label}, json.dumps(body).encode()),
        0,
        0,
    )


def report(cost: Cost, time_ms: int = 1, **changes: Any) -> Entry:
    body = {
        "date": iso(cost.day),
        "channel": cost.channel,
        "campaign_id": cost.campaign_id,
        "campaign_name": cost.name,
        "currency": cost.currency,
        "spend": decimal(cost.spend, cost.currency),
        "impressions": 1000,
        "clicks": cost.clicks,
        "platform_revenue": None
        if cost.platform_revenue is None
        else decimal(cost.platform_revenue, cost.currency),
        "time_zone": "America/Los_Angeles",
    }
    return entry("spend", {**body, **changes}, time_ms=time_ms)


def order_records(
    number: int, sale: Sale, landing_site: str | None, refunded: int = 0, **changes: Any
) -> list[Entry]:
    """An order's deliveries: created, then updated and refunded, where money went back."""
    total, at = decimal(sale.kept + refunded, sale.currency), f"{iso(sale.day)}T12:00:00-05:00"
    body = {
        "id": number,
        "created_at": at,
        "processed_at": at,
        "updated_at": at,
        "currency": sale.currency,
        "total_price": total,
        "current_total_price": total,
        "landing_site": landing_site,
        "financial_status": "paid",
        "refunds": [],
    }
    found = [entry("orders", body, "orders/create")]
    if refunded:
        transaction = {
            "kind": "refund",
            "status": "success",
            "amount": decimal(refunded, sale.currency),
            "currency": sale.currency,
        }
        refund = {"id": number + 1, "order_id": number, "transactions": [transaction]}
        later = {
            **body,
            "updated_at": f"{iso(sale.day + 1)}T12:00:00-05:00",
            "refunds": [refund],
            "financial_status": "partially_refunded",
        }
        found += [
            entry("orders", refund, "refunds/create"),
            entry("orders", later, "orders/updated"),
        ]
    if changes:
        found.append(
            entry(
                "orders",
                {**body, "updated_at": f"{iso(sale.day + 2)}T12:00:00-05:00", **changes},
                "orders/updated",
            )
        )
    return found


def fold(store: SqlStore, entries: Sequence[Entry], batch: int = 200) -> None:
    """What the two processors make of the entries, in batches."""
    orders, spend = budget_orders({}), budget_spend()
    for start in range(0, len(entries), batch):
        some = entries[start : start + batch]
        result = [
            event
            for each in some
            if each.record.topic == "orders" and (event := orders.decode(each)) is not None
        ]
        reports = [spend.decode(each) for each in some if each.record.topic == "spend"]
        with store.begin() as transaction:
            orders.apply(transaction, result, 0)
            spend.apply(transaction, reports, 0)


def ask(store: SqlStore, merchant: Merchant, time_zone: str | None = None) -> dict[str, Any]:
    """The answer to a merchant, today."""

    def written(units: int | None) -> Decimal | None:
        return None if units is None else Decimal(decimal(units, merchant.currency))

    settings = BudgetSettings(
        bankroll=written(merchant.bankroll),
        margin=merchant.margin,
        days=merchant.days,
        immature_days=merchant.immature,
        max_change=merchant.step,
        seed=written(merchant.seed),
        time_zone=time_zone,
        caution=Caution(
            kelly=merchant.kelly,
            prior_days=merchant.prior_days,
            prior_variance=merchant.prior_sd**2,
            horizon_days=merchant.horizon,
            cut_probability=merchant.cut,
        ),
    )
    with store.snapshot() as snapshot:
        answer: dict[str, Any] = to_builtins(
            budget(snapshot, SHOP, TODAY, settings, merchant.shown)
        )
    return answer


def spending(
    days: Iterable[int], spend: int = 10_000, name: str = "Summer", campaign_id: str = "1"
) -> list[Entry]:
    """A Meta campaign's reports."""
    return [report(Cost(day, "meta", campaign_id, name, "USD", spend, 1, None)) for day in days]


def selling(
    days: Iterable[int], link: str | None, revenue: int = 28_000, number: int = 1, orders: int = 4
) -> list[Entry]:
    """`orders` a day that began at `link`; `number` tells apart what is sold on the same day."""
    return [
        entry
        for day in days
        for n in range(orders)
        for entry in order_records(
            (day * 100 + number) * 1000 + n * 10,
            Sale(day, revenue // orders, "USD", ("", "", "")),
            link,
        )
    ]


def steady(
    days: range,
    returns: Sequence[float],
    spend: int = 10_000,
    name: str = "Summer",
    campaign_id: str = "1",
) -> list[Entry]:
    """A campaign whose revenue makes `returns` in turn at a margin of one half."""
    found = spending(days, spend, name, campaign_id)
    for day in days:
        revenue = round(spend * (1 + returns[day % len(returns)]) / 0.5)
        sale = Sale(day, revenue, "USD", ("", "", ""))
        link = f"/?utm_id={campaign_id}&utm_source=fb"
        found += order_records(day * 1000 + int(campaign_id), sale, link)
    return found


def only(answer: dict[str, Any], **wanted: str | None) -> dict[str, Any]:
    """The one campaign of the answer with these fields."""
    (found,) = (
        each
        for each in answer["campaigns"]
        if all(each[name] == value for name, value in wanted.items())
    )
    campaign: dict[str, Any] = found
    return campaign


HALF = Merchant("USD", bankroll=100_000, margin=0.5)
