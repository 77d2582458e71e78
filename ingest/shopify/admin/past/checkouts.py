"""Writes checkouts of the past as records of the topic `checkouts`, in the classic form. Checkouts
are identified by the cart's token, which both the recovery link and the order have."""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec

from ingest.shopify.admin.access import ReadAccess
from ingest.shopify.admin.client import AdminClient
from ingest.shopify.admin.documents import document
from ingest.shopify.admin.past.history import BACKFILL
from ingest.shopify.admin.past.windows import TimeSpan, search
from ingest.shopify.routing import route
from stream.record import Record

KEPT_DAYS = 90
"""Older checkouts count nowhere (`processors/checkouts`)."""
PAGE = 250
TOPIC = "checkouts/update"
PREFIX = "cart:"
"""In front of the cart's token, in the place of the checkout's."""
_CART = re.compile(r"/checkouts/ac/([^/?]+)/recover|/checkouts/([0-9a-f]{32})")
Json = dict[str, Any]


class _Money(msgspec.Struct, gc=False):
    amount: str
    currencyCode: str


class _Set(msgspec.Struct, gc=False):
    shopMoney: _Money


class _Buyer(msgspec.Struct, gc=False):
    id: str


class _Order(msgspec.Struct, gc=False):
    createdAt: str
    totalPriceSet: _Set
    sourceName: str | None = None
    cartToken: str | None = None
    email: str | None = None
    test: bool = False
    customer: _Buyer | None = None


_order = msgspec.json.Decoder(_Order)


def pages(
    client: AdminClient, access: ReadAccess, span: TimeSpan, after: str
) -> Iterator[tuple[list[Json], str]]:
    """Checkouts left in `span`, with the cursor behind each page. Raises AdminError."""
    text = document("abandoned_checkouts", access.without)
    cursor: str | None = after or None
    while True:
        variables = {"first": PAGE, "after": cursor, "query": search("created_at", span)}
        found = client.query(text, variables)["abandonedCheckouts"]
        cursor = found["pageInfo"]["endCursor"]
        yield found["nodes"], cursor or ""
        if not found["pageInfo"]["hasNextPage"]:
            return


def abandoned(node: Json) -> Json | None:
    """The classic body; None where the recovery link names no cart."""
    link = node.get("abandonedCheckoutUrl")
    cart = _CART.search(link or "")
    if cart is None:
        return None
    customer = node.get("customer")
    return _body(
        cart=cart[1] or cart[2],
        created_at=node["createdAt"],
        updated_at=node["updatedAt"],
        completed_at=node.get("completedAt"),
        money=node["totalPriceSet"]["shopMoney"],
        customer=None if customer is None else customer["id"],
        email=None
        if customer is None
        else (customer.get("defaultEmailAddress") or {}).get("emailAddress"),
        link=link,
    )


def bought(orders: Iterable[bytes], since: str) -> Iterator[Json]:
    """The checkouts of web orders that were made since then (as the API writes times).

    The Admin API lists abandoned checkouts only. Without those that were ordered at once, every
    checkout of the past would count as abandoned.
    """
    for each in orders:
        order = _order.decode(each)
        if order.createdAt < since or order.test or not order.cartToken:
            continue
        if order.sourceName not in (None, "web"):
            continue
        money = order.totalPriceSet.shopMoney
        yield _body(
            cart=order.cartToken,
            created_at=order.createdAt,
            updated_at=order.createdAt,
            completed_at=order.createdAt,
            money={"amount": money.amount, "currencyCode": money.currencyCode},
            customer=None if order.customer is None else order.customer.id,
            email=order.email,
            link=None,
        )


def records(shop: str, bodies: Iterable[Json], known: Collection[str], now_ms: int) -> list[Record]:
    """Records of the checkouts whose cart no webhook has brought."""
    return [_record(shop, body, now_ms) for body in bodies if body["cart_token"] not in known]


def _body(
    *,
    cart: str,
    created_at: str,
    updated_at: str,
    completed_at: str | None,
    money: Json,
    customer: str | None,
    email: str | None,
    link: str | None,
) -> Json:
    return {
        "token": f"{PREFIX}{cart}",
        "cart_token": cart,
        "created_at": created_at,
        "updated_at": updated_at,
        "completed_at": completed_at,
        "currency": money["currencyCode"],
        "total_price": money["amount"],
        "total_price_set": {
            "shop_money": {"amount": money["amount"], "currency_code": money["currencyCode"]}
        },
        "email": email,
        "customer": None if customer is None else {"id": int(customer.rpartition("/")[2])},
        "abandoned_checkout_url": link,
    }


def _record(shop: str, body: Json, now_ms: int) -> Record:
    text = msgspec.json.encode(body)
    place = route(shop, TOPIC, text)
    return Record(
        topic=place.topic,
        key=place.key,
        id=f"{BACKFILL}-{body['token']}-{body['updated_at']}",
        time_ms=now_ms,
        headers={"source": "shopify", "topic": TOPIC, "shop": shop, "origin": BACKFILL},
        body=text,
    )
