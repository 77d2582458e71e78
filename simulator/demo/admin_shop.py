"""Keeps the Admin API's stand-in at the state of the shop's acknowledged webhooks, and checks the
day's statement against it."""

import asyncio
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import aiohttp

from orderwire.serve.reconcile.statement_day import days_to_read, read_day
from orderwire.serve.shops.admin import admin_client
from orderwire.settings.program import ShopSettings
from query.endpoints.statement import Statement, statement
from simulator.proof.verify import Check
from simulator.shop.delivery import Delivery
from simulator.shop.mangle import PARKED, REFUSED
from stream.store.contract import Store
from stream.times import EPOCH

EVERY_S = 0.5
PATHS = {"orders": "/shop/orders", "checkouts": "/shop/checkouts"}
WITHOUT_THE_ORDER = frozenset({"orders/edited", "orders/delete"})


class AdminFeed:
    """Posts acknowledged orders and checkouts to the stand-in."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http, self._url = http, url
        self._waiting: dict[str, list[bytes]] = {family: [] for family in PATHS}

    def acknowledged(self, delivery: Delivery) -> None:
        """Queue a delivery that the receiver has acknowledged."""
        family = delivery.topic.partition("/")[0]
        broken = delivery.kind in PARKED | REFUSED
        if family in PATHS and delivery.topic not in WITHOUT_THE_ORDER and not broken:
            self._waiting[family].append(delivery.body.replace(b"\n", b" "))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.drain()

    async def drain(self) -> None:
        """Post what waits."""
        for family, path in PATHS.items():
            bodies, self._waiting[family] = self._waiting[family], []
            if bodies:
                async with self._http.post(f"{self._url}{path}", data=b"\n".join(bodies)):
                    pass


def read_statements(shop: ShopSettings, store: Store, now_s: float) -> None:
    """Read the days that the job `reconcile` reads every hour: its first turn came before the
    history was sent, and found none of the orders."""
    client = admin_client(shop, store)
    try:
        for day in days_to_read(now_s, shop.zone):
            read_day(client, store, shop.domain, day, shop.zone)
    finally:
        client.close()


def check_statement(shop: ShopSettings, store: Store) -> Check:
    """Whether today's orders add up, and none is missing."""
    zone = shop.zone or ZoneInfo("UTC")
    day: date = datetime.now(UTC).astimezone(zone).date()
    client = admin_client(shop, store)
    try:
        orders = read_day(client, store, shop.domain, day, shop.zone)
    finally:
        client.close()
    with store.snapshot() as snapshot:
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        number = (day - EPOCH).days
        made = statement(snapshot, shop.domain, number, "meta", now_ms, behind=0)
    return Check("today's statement: every order of Shopify's accounted for", orders, _wrong(made))


def _wrong(made: Statement) -> list[str]:
    found = []
    for item in made.items:
        parts = [item.sent, item.maybe_accepted, item.dead, item.waiting, item.missing]
        parts += item.skipped.values()
        if item.shopify.orders != sum(part.orders for part in parts):
            found.append(f"{item.channel} does not add up")
        if item.missing.orders:
            found.append(f"{item.channel}: {item.missing.orders} missing: {item.missing.ids[:3]}")
    return found
