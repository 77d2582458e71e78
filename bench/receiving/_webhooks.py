"""Signed orders of 5 kB, sent over raw sockets by connections that are never idle: what a receiver
is loaded with.

The sockets are our own because an HTTP client would cost more than the server that is measured.
"""

import asyncio
import base64
import hmac
import json
import time
from typing import NamedTuple, cast

SHOP = "bench.myshopify.com"
SECRET = b"bench-secret"


def order_body(size_bytes: int = 5_000) -> bytes:
    """An `orders/create` body as Shopify writes it, with as many line items as make it about
    `size_bytes` long."""

    def money(amount: str) -> dict[str, object]:
        each = {"amount": amount, "currency_code": "USD"}
        return {"shop_money": each, "presentment_money": each}

    def item(number: int) -> dict[str, object]:
        return {
            "id": 866550311766439020 + number,
            "admin_graphql_api_id": f"gid://shopify/LineItem/{866550311766439020 + number}",
            "name": f"Merino socks, pair {number}",
            "price": "19.99",
            "price_set": money("19.99"),
            "product_id": 7513594 + number,
            "properties": [{"name": "gift", "value": "no"}],
            "quantity": 2,
            "sku": f"SOCK-{number:04}",
            "tax_lines": [
                {"price": "1.60", "rate": 0.08, "title": "VAT", "price_set": money("1.60")}
            ],
            "total_discount_set": money("0.00"),
        }

    order: dict[str, object] = {
        "id": 820982911946154508,
        "admin_graphql_api_id": "gid://shopify/Order/820982911946154508",
        "browser_ip": "203.0.113.7",
        "cart_token": "c1-7a9e",
        "checkout_token": "bd5a8aa1ecd019dd3520ff791ee3a24c",
        "client_details": {
            "accept_language": "en",
            "browser_ip": "203.0.113.7",
            "user_agent": "Mozilla/5.0",
        },
        "created_at": "2026-11-22T10:01:02-05:00",
        "currency": "USD",
        "current_total_price_set": money("431.88"),
        "customer": {
            "id": 115310627314723954,
            "email": "buyer@example.com",
            "first_name": "Ada",
            "state": "disabled",
        },
        "email": "buyer@example.com",
        "financial_status": "paid",
        "landing_site": "/?fbclid=IwAR0abc",
        "note_attributes": [{"name": "_fbp", "value": "fb.1.1700000000000.1234567890"}],
        "processed_at": "2026-11-22T10:01:01-05:00",
        "shipping_address": {
            "city": "Paris",
            "country_code": "FR",
            "first_name": "Ada",
            "zip": "75001",
        },
        "total_price": "431.88",
        "updated_at": "2026-11-22T10:01:03-05:00",
        "line_items": [],
    }
    items: list[dict[str, object]] = []
    while len(json.dumps(order, separators=(",", ":"))) < size_bytes - 400:
        items.append(item(len(items)))
        order["line_items"] = items
    return json.dumps(order, separators=(",", ":")).encode()


class Answers(NamedTuple):
    """What came of one round of load."""

    latencies_s: list[float]
    """Of the answers that were 200."""
    refused: int
    took_s: float


class Load:
    """Open connections to one server. Between rounds they are silent."""

    def __init__(self, name: str) -> None:
        """`name` makes the ids of these deliveries unlike those of any other load."""
        self._name = name
        body = order_body()
        signature = base64.b64encode(hmac.digest(SECRET, body, "sha256")).decode()
        self._head = (
            "POST /webhooks/shopify HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            "User-Agent: Shopify-Captain-Hook\r\nAccept: */*\r\nX-Shopify-Topic: orders/create\r\n"
            f"X-Shopify-Hmac-Sha256: {signature}\r\nX-Shopify-Shop-Domain: {SHOP}\r\n"
            "X-Shopify-API-Version: 2026-10\r\n"
            "X-Shopify-Triggered-At: 2026-11-22T15:01:03.123456789Z\r\n"
            f"X-Shopify-Event-Id: 98880550-7158\r\nX-Shopify-Webhook-Id: {name}-"
        ).encode()
        self._body = body
        self._number = 0
        self._clients: list[_Client] = []

    async def connect(self, port: int, connections: int) -> None:
        """Open them."""
        self._port = port
        self._clients = [await self._opened() for _ in range(connections)]

    async def _opened(self) -> "_Client":
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: _Client(self), "127.0.0.1", self._port)
        return client

    async def run(self, seconds: float) -> Answers:
        """Keep every connection busy with one delivery at a time, and wait for the last answers.
        A connection that the server has closed since, being idle, is opened again."""
        self._clients = [
            await self._opened() if each.transport.is_closing() else each for each in self._clients
        ]
        self._latencies_s: list[float] = []
        self._refused = 0
        self._busy = len(self._clients)
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        began_s = time.perf_counter()
        self._until_s = began_s + seconds
        for client in self._clients:
            client.send(self._next_request())
        await self._over
        return Answers(self._latencies_s, self._refused, time.perf_counter() - began_s)

    def lost(self) -> None:
        """The server has closed a connection that waits for an answer: the round fails."""
        if not self._over.done():
            self._over.set_exception(ConnectionError(f"{self._name} closed a connection"))

    def close(self) -> None:
        """Close them."""
        for client in self._clients:
            client.transport.close()

    def answered(self, client: "_Client", answer: bytes) -> None:
        """Send the next delivery on this connection, or leave it silent where the round is over."""
        now_s = time.perf_counter()
        if answer[9:12] == b"200":
            self._latencies_s.append(now_s - client.sent_s)
        else:
            self._refused += 1
        if now_s < self._until_s:
            client.send(self._next_request())
            return
        self._busy -= 1
        if not self._busy and not self._over.done():
            self._over.set_result(None)

    def _next_request(self) -> bytes:
        self._number += 1
        return b"%b%08d\r\n\r\n%b" % (self._head, self._number, self._body)


class _Client(asyncio.Protocol):
    """One connection with one delivery under way."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._answer = b""
        self._waits = False
        self.sent_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only

    def connection_lost(self, error: Exception | None) -> None:
        if self._waits:
            self._load.lost()

    def send(self, request: bytes) -> None:
        self._waits, self.sent_s = True, time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if b"\r\n\r\n" in self._answer:
            answer, self._answer, self._waits = self._answer, b"", False
            self._load.answered(self, answer)
