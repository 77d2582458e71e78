"""Remembers when a click id was first seen in any order of a shop, for an fbc built from a landing
page: a later order of the same click must not make it younger."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from destinations.meta.event import click
from destinations.meta.event.detail import Detail
from destinations.meta.settings import CapiSettings
from processors.engine.processor import in_shop
from processors.shopify.orders import Order
from processors.shopify.tolerance import millis
from stream.store.contract import Entities, Key, Transaction


class ClickRow(NamedTuple):
    """When a click id was first seen; `click` is a digest of it."""

    shop: str
    click: str
    seen_ms: int


CLICKS = Entities("meta_click", ClickRow, 2)


class ClickLook(NamedTuple):
    """An order and what its event needs."""

    order: Order
    settings: CapiSettings
    detail: Detail
    click_id: str | None
    """The click that led to the order."""
    click_key: str
    """The key of its row; "" where there is no click."""
    cookies: tuple[click.Cookie, ...]
    """What the storefront put into the cart as fbc, where it is well-formed."""


def look_at(order: Order, detail: Detail, settings: CapiSettings) -> ClickLook:
    """What is read of an order for its event."""
    click_id = click_id_of(detail, settings)
    cookies: tuple[click.Cookie, ...] = ()
    if detail.attributes:
        values = [detail.attributes.get(name) for name in settings.fbc_attributes]
        cookies = tuple([found for value in values if (found := click.cookie(value)) is not None])
    click_key = "" if click_id is None else click.click_key(click_id)
    return ClickLook(order, settings, detail, click_id, click_key, cookies)


def fbc(look: ClickLook, first_seen: Mapping[tuple[str, str], int]) -> str | None:
    """The order's fbc (`destinations/meta/event/click.py`)."""
    if look.click_id is None and not look.cookies:
        return None
    clicked_ms = 0 if look.click_id is None else first_seen[look.order.shop, look.click_key]
    return click.chosen(look.cookies, look.click_id, clicked_ms, look.order.received_ms)


def first_seen(transaction: Transaction, looks: Sequence[ClickLook]) -> dict[tuple[str, str], int]:
    """When each click id among the orders was first seen, Unix milliseconds; new ones are stored.

    A cookie of any age has the time of its own click. No click is younger than its purchase.
    """
    now: dict[Key, int] = {}
    for look in looks:
        click_id = look.click_id
        if click_id is None:
            continue
        key = (look.order.shop, look.click_key)
        by_cookie = [
            cookie.seen_ms for cookie in look.cookies if click.same(cookie.click_id, click_id)
        ]
        made = min(look.order.created_at, look.order.processed_at)
        at_ms = min(millis(made), look.order.received_ms, *by_cookie)
        now[key] = min(at_ms, now.get(key, at_ms))
    kept = {key: row.seen_ms for key, row in transaction.load(CLICKS, now).items()}
    earliest = {key: min(at_ms, kept.get(key, at_ms)) for key, at_ms in now.items()}
    transaction.save(
        CLICKS,
        [
            ClickRow(str(key[0]), str(key[1]), at)
            for key, at in earliest.items()
            if kept.get(key) != at
        ],
    )
    return {(str(key[0]), str(key[1])): at for key, at in earliest.items()}


def forget(transaction: Transaction, now_ms: int, shop: str | None = None) -> int:
    """Delete click ids older than any fbc may be, of `shop` or of all; returns how many."""
    here, of_shop = in_shop(shop)
    return transaction.execute(
        f"DELETE FROM meta_click WHERE seen_ms < :before{here}",
        before=now_ms - click.FBC_DAYS * click.DAY_MS,
        **of_shop,
    )


def click_id_of(found: Detail, settings: CapiSettings) -> str | None:
    """The click that led to an order, by its URLs or a cart attribute."""
    urls, attributes = (found.landing_site, found.referring_site), found.attributes
    if not attributes:
        return click.click_id(urls, ())
    named, others = (
        [attributes.get(name) for name in names]
        for names in (settings.fbclid_attributes, settings.fbc_attributes)
    )
    return click.click_id(urls, named, others)
