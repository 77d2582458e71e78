"""Writes values of the Admin API as classic webhooks write them. Nothing here raises: unreadable
values pass unchanged, and the decoder judges them."""

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from processors.shopify.tolerance import mapping, sequence
from stream.money import amount, minor

Json = dict[str, Any]


def number(gid: Any) -> int | None:
    """The number in `gid://shopify/Order/1?x=y`; None where there is none."""
    if isinstance(gid, int) and not isinstance(gid, bool):
        return gid
    if not isinstance(gid, str):
        return None
    digits = gid.rsplit("/", 1)[-1].partition("?")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 19 else None


def lower(value: Any) -> Any:
    """An enum's value: capitals in GraphQL, small letters in webhooks."""
    return value.lower() if isinstance(value, str) else value


def local(value: Any, zone: tzinfo | None) -> Any:
    """A time in the shop's zone, as webhooks have it; GraphQL has UTC (docs/facts/shopify.md,
    "Shopify Events"). As it is where no zone is known."""
    if zone is None or not isinstance(value, str):
        return value
    try:
        parsed = datetime.fromisoformat(value.strip())
        return parsed.astimezone(zone).isoformat() if parsed.tzinfo is not None else value
    except (ValueError, OverflowError):
        return value


def nodes(connection: Any) -> list[Json]:
    """What is in a connection: `nodes`, `edges`, or a plain list (a joined bulk file)."""
    if isinstance(connection, list):
        return [mapping(each) for each in connection]
    found = mapping(connection)
    if "nodes" in found:
        return [mapping(each) for each in sequence(found["nodes"])]
    return [mapping(mapping(edge).get("node")) for edge in sequence(found.get("edges"))]


def cut_short(connection: Any) -> bool:
    """Whether a connection has more than came."""
    return mapping(mapping(connection).get("pageInfo")).get("hasNextPage") is True


def money_set(bag: Any, currency: Any) -> Json | None:
    """A MoneyBag as a `*_set`; `currency` is the shop's, where an amount does not name its own."""
    if not isinstance(bag, dict):
        return None
    found = {
        classic: _money(bag[name], currency if classic == "shop_money" else None)
        for classic, name in (
            ("shop_money", "shopMoney"),
            ("presentment_money", "presentmentMoney"),
        )
        if isinstance(bag.get(name), dict)
    }
    return found or None


def plain(amount_set: Mapping[str, Any] | None) -> Any:
    """The plain field beside a `*_set`: its shop money."""
    return mapping(mapping(amount_set).get("shop_money")).get("amount")


def _money(money: Json, currency: Any) -> Json:
    code = money.get("currencyCode") or currency
    return {"amount": _digits(money.get("amount"), code), "currency_code": code}


def _digits(value: Any, currency: Any) -> Any:
    """With the currency's own number of digits: GraphQL writes "10.0" for 10 dollars."""
    try:
        return amount(minor(value, currency), currency)
    except (ValueError, TypeError, AttributeError):
        return value
