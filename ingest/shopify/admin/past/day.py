"""Reads all orders that a shop sold on one of its days, as Shopify has them now."""

from datetime import date, datetime, time, timedelta, tzinfo
from typing import NamedTuple

from ingest.shopify.admin.client import AdminClient
from ingest.shopify.admin.documents import document
from ingest.shopify.admin.past.paged import count
from ingest.shopify.admin.past.windows import TimeSpan, cut, search
from stream.money import minor

PAGE, MOST = 250, 20_000
FIELD = "processed_at"
HOUR_S = 3_600


class Sold(NamedTuple):
    """One order of the day."""

    order_id: str
    channel: str
    """Shopify's `source_name`: web, pos, …; "" where Shopify does not say."""
    test: int
    value: int
    """`total_price`, minor units of `currency`, the shop's."""
    currency: str


def span_of(day: date, zone: tzinfo) -> TimeSpan:
    """From a day's midnight in the shop to the next one's."""
    begin = datetime.combine(day, time(), zone)
    end = datetime.combine(day + timedelta(days=1), time(), zone)
    return TimeSpan(int(begin.timestamp()), int(end.timestamp()))


def orders_of_day(client: AdminClient, span: TimeSpan) -> list[Sold]:
    """All of them. Raises AdminError."""
    # Shopify pages through 25,000 orders at most.
    hours = cut(span, HOUR_S) if count(client, FIELD, span) > MOST else [span]
    return [
        _sold(order)
        for each in hours
        for page in client.pages(
            document("orders_of_day"), {"first": PAGE, "query": search(FIELD, each)}, "orders"
        )
        for order in page
    ]


def _sold(order: dict[str, object]) -> Sold:
    money = order["totalPriceSet"]["shopMoney"]  # type: ignore[index]
    currency = str(money["currencyCode"])
    return Sold(
        order_id=str(order["id"]).rpartition("/")[2],
        channel=str(order.get("sourceName") or ""),
        test=int(bool(order.get("test"))),
        value=minor(str(money["amount"]), currency),
        currency=currency,
    )
