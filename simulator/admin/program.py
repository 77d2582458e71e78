"""The stand-in as a program: `python -m simulator.admin.program --port N --shop S --secret …`.

`POST /shop/orders` and `/shop/checkouts` take classic bodies, as the simulated shop sends them, so
that the Admin API shows what the webhooks said.
"""

import argparse
import asyncio
import time
from collections.abc import Collection
from datetime import UTC, datetime

import orjson
from aiohttp import web

from simulator.admin import from_classic
from simulator.admin.access import Access
from simulator.admin.books import Books, Json, shop
from simulator.admin.many import Many
from simulator.admin.stand_in import AdminStandIn
from simulator.servers.stand_in import until_stopped
from simulator.shop.shop import ShopSimulator

YEAR_S = 365 * 86_400


class ShopProgram(AdminStandIn):
    """With routes by which a simulated shop reports what it sold."""

    def more_routes(self) -> Collection[web.RouteDef]:
        return (
            web.post("/shop/orders", self._orders),
            web.post("/shop/checkouts", self._checkouts),
        )

    async def _orders(self, request: web.Request) -> web.Response:
        """Bodies one a line; an older state than the one known is left out."""
        for line in (await request.read()).splitlines():
            made = from_classic.order(orjson.loads(line))
            known = self.books.orders.one(made["id"])
            if known is None or known["updatedAt"] <= made["updatedAt"]:
                self.books.orders.keep(made)
        return web.Response(text=str(len(self.books.orders)))

    async def _checkouts(self, request: web.Request) -> web.Response:
        for line in (await request.read()).splitlines():
            body = orjson.loads(line)
            url = body.get("abandoned_checkout_url") or f"https://shop.example/c/{body['token']}"
            self.books.checkouts.keep(from_classic.checkout(body, url))
        return web.Response(text=str(len(self.books.checkouts)))


def _example(domain: str) -> Json:
    """One order as a shop sells them."""
    simulator = ShopSimulator(1, domain, "secret", datetime.now(UTC), 20)
    delivery = next(one for one in simulator.history(60) if one.topic.startswith("orders/"))
    return from_classic.order(orjson.loads(delivery.body))


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m simulator.admin.program")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--shop", default="demo.myshopify.com")
    parser.add_argument("--zone", default="Europe/Paris")
    parser.add_argument("--client-id", default="client-id")
    parser.add_argument("--client-secret", default="client-secret")
    parser.add_argument("--many", type=int, default=0, help="so many orders of the last year")
    options = parser.parse_args()
    access = Access(time.time, client_id=options.client_id, client_secret=options.client_secret)
    books = Books(shop(options.shop, options.zone))
    if options.many:
        now_s = int(time.time())
        books.many = Many(options.many, now_s - YEAR_S, now_s, _example(options.shop))
    await until_stopped(ShopProgram(books, access=access, port=options.port))


if __name__ == "__main__":
    asyncio.run(_main())
