"""Reads a day's orders from Shopify and stores their ids, channels and totals, which
`query/endpoints/statement.py` compares with what was sent."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from ingest.shopify.admin.access import read_access
from ingest.shopify.admin.client import AdminClient
from ingest.shopify.admin.past.day import orders_of_day, span_of
from stream.store.contract import Entities, Store
from stream.times import EPOCH

KEPT_DAYS = 90


class StatementDay(NamedTuple):
    """Columns of `statement_day`, of which the first two are its key."""

    shop: str
    day: int
    currency: str
    """The shop's."""
    read_s: int
    """When Shopify was asked, Unix seconds."""
    until_s: int
    """The day's end."""


class StatementOrder(NamedTuple):
    """Columns of `statement_order`, of which the first three are its key."""

    shop: str
    day: int
    order_id: str
    name: str
    """Not kept: no answer shows it."""
    channel: str
    test: int
    value: int
    currency: str


DAYS = Entities("statement_day", StatementDay, 2)
ORDERS = Entities("statement_order", StatementOrder, 3)


def read_day(
    client: AdminClient,
    store: Store,
    shop: str,
    day: date,
    zone: ZoneInfo | None,
    clock: Callable[[], float] = time.time,
) -> int:
    """Keep what Shopify has of `day`; how many orders. Raises AdminError, StoreError."""
    access = read_access(client)
    span = span_of(day, zone or ZoneInfo(access.zone))
    # Asked before: what is sold meanwhile is not claimed to be counted.
    asked_s = int(clock())
    sold = orders_of_day(client, span)
    number = (day - EPOCH).days
    rows = [
        StatementOrder(
            shop, number, one.order_id, "", one.channel, one.test, one.value, one.currency
        )
        for one in sold
    ]
    with store.begin() as transaction:
        for table in ("statement_day", "statement_order"):
            transaction.execute(
                f"DELETE FROM {table} WHERE shop = :shop AND (day = :day OR day < :oldest)",
                shop=shop,
                day=number,
                oldest=number - KEPT_DAYS,
            )
        transaction.save(DAYS, [StatementDay(shop, number, access.currency, asked_s, span.to_s)])
        transaction.save(ORDERS, rows)
    return len(rows)


def days_to_read(now_s: float, zone: ZoneInfo | None) -> list[date]:
    """Today and yesterday in the shop."""
    today = datetime.fromtimestamp(now_s, zone or UTC).date()
    return [today - timedelta(days=1), today]
