"""Chooses the event id of an order: the one of its existing row, else the template's, else
`OWN_ID`."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from destinations.browser.facts import FACTS, facts_of
from destinations.delivery.rows import LAST_US, NO_CONSENT, SKIPPED
from destinations.meta.event import payload
from destinations.meta.event.detail import attributes_of, fields_at
from destinations.meta.settings import (
    ATTRIBUTE,
    BY_ORDER_ID,
    OWN_ID,
    PIXEL_EVENT_ID,
    CapiSettings,
    placeholders,
)
from processors.engine.statements import having_rows
from processors.shopify.orders import Order, OrderDeleted
from processors.shopify.tolerance import text
from stream.store.contract import Key, Reading, Transaction

OTHER_IDS = " AND t.destination = :destination AND t.event_id <> t.order_id"
"""Rows that another template than the default made; they have an index of their own."""


class Known(NamedTuple):
    """What the outbox has of some orders, by (shop, order id)."""

    ids: dict[tuple[str, str], str]
    """Event ids that are settled."""
    yielding: set[Key]
    """Keys of rows that give way."""


def known(
    reading: Reading,
    orders: Collection[Order | OrderDeleted],
    shops: Mapping[str, CapiSettings],
    destination: str,
) -> Known:
    """What the outbox has of `orders` for the accounts of this name.

    One probe for all shops, and a query for each that ever had another template than the default.
    """
    found = Known({}, set())
    by_shop: dict[str, dict[str, None]] = {}
    for order in orders:
        by_shop.setdefault(order.shop, {})[order.order_id] = None
    by_default = {shop for shop in by_shop if shops[shop].event_id == BY_ORDER_ID}
    others = having_rows(reading, "outbox", by_default, OTHER_IDS, destination=destination)
    for shop, order_ids in by_shop.items():
        if shop in by_default and shop not in others:
            continue
        asked = list(order_ids)
        asked += asked[:1] * (
            (1 << (len(asked) - 1).bit_length()) - len(asked)
        )  # Few lengths: a statement is parsed once.
        names = {f"order_{number}": order_id for number, order_id in enumerate(asked)}
        # Without destination, for which SQLite would walk the whole ledger by its primary key.
        sql = (
            "SELECT destination, event_name, event_id, order_id, outcome, updated_us FROM outbox"
            f" WHERE shop = :shop AND order_id IN ({', '.join(f':{name}' for name in names)})"
        )
        rows = [
            row for row in reading.query(sql, shop=shop, **names) if row.destination == destination
        ]
        # An order may have several rows, of older templates: the one that went furthest counts, so
        # it comes last.
        for row in sorted(
            rows, key=lambda row: (row.outcome not in (SKIPPED, NO_CONSENT), row.event_id)
        ):
            if (
                row.event_id.startswith(OWN_ID)
                and row.outcome in (SKIPPED, NO_CONSENT)
                and row.updated_us != LAST_US
            ):
                found.yielding.add((shop, destination, row.event_name, row.event_id))
            else:
                found.ids[shop, row.order_id] = row.event_id
    return found


def browsers_ids(
    transaction: Transaction,
    orders: Collection[Order | OrderDeleted],
    shops: Mapping[str, CapiSettings],
) -> dict[Key, str]:
    """The id of the browser's own event, by shop and checkout token, where a template names it."""
    keys = {
        (order.shop, order.checkout_token)
        for order in orders
        if isinstance(order, Order)
        and order.checkout_token
        and PIXEL_EVENT_ID in placeholders(shops[order.shop].event_id)
    }
    found = transaction.load(FACTS, sorted(keys)) if keys else {}
    posted = {key: facts_of(row).event_id for key, row in found.items()}
    return {key: event_id for key, event_id in posted.items() if event_id}


def event_id_of(
    order: Order | OrderDeleted,
    settings: CapiSettings,
    ids: dict[tuple[str, str], str],
    browsers: Mapping[Key, str],
) -> str:
    """The id of the order's row. The decision is added to `ids`, for its later deliveries."""
    order_key = (order.shop, order.order_id)
    event_id = ids.get(order_key)
    if event_id is not None:
        return event_id
    if settings.event_id == BY_ORDER_ID:
        event_id = order.order_id
    elif isinstance(order, OrderDeleted):
        event_id = OWN_ID + order.order_id
    else:
        fields = _fields(order, settings.event_id)
        fields[PIXEL_EVENT_ID] = browsers.get((order.shop, order.checkout_token or ""))
        event_id = payload.filled(settings.event_id, fields)
        if event_id is None:
            return OWN_ID + order.order_id
    ids[order_key] = event_id
    return event_id


def _fields(order: Order, template: str) -> dict[str, str | None]:
    """The values of the template's placeholders, by name."""
    fields = {
        "order_id": order.order_id,
        "id": order.order_id,
        "checkout_token": order.checkout_token,
        "cart_token": order.cart_token,
    }
    others = [name for name in placeholders(template) if name not in fields]
    attributes = [name for name in others if name.startswith(ATTRIBUTE)]
    if attributes:
        attributes_by_name = attributes_of(order.raw)
        fields |= {
            name: attributes_by_name.get(name.removeprefix(ATTRIBUTE)) for name in attributes
        }
    at_the_top = [name for name in others if name not in attributes]
    values = map(text, fields_at(order.body, at_the_top))
    return fields | dict(zip(at_the_top, values, strict=True))
