"""Shows which events an order would send, by the code that sends them, in a temporary store:
nothing is sent, and the shop's own store is neither read nor changed."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from destinations.delivery.protocol import Context
from destinations.delivery.rows import OUTBOX, OutboxRow
from destinations.registry import KINDS
from orderwire.operation.refused import Refused
from orderwire.serve.sending import outbox_processor
from orderwire.serve.shops.zones import zones
from orderwire.settings.program import Settings, ShopSettings
from processors.shopify.orders import Order, decode_order
from processors.shopify.tolerance import Rejected
from stream.record import Entry, Record
from stream.store.sql.store import SqlStore

HIDDEN: Final = "(sent, and not shown)"
PERSONAL: Final = frozenset(
    (
        *("email", "contact_email", "phone", "first_name", "last_name", "company"),
        *("address1", "address2", "city", "zip", "browser_ip", "user_agent", "session_hash"),
    )
)
"""Names of an order's fields whose values are never shown, wherever an event has them."""

SENT_PLAIN: Final = frozenset({"client_ip_address", "client_user_agent"})
"""Fields of an event that hold personal data as it is."""


@dataclass(frozen=True, slots=True)
class Preview:
    """One event of one account."""

    destination: str
    account: str
    event_name: str
    event_id: str
    outcome: str
    reason: str
    event: Any
    """As it would be sent, personal data that is not hashed replaced; None where none is built."""
    left_out: Mapping[str, str]


def read_body(path: Path) -> dict[str, Any]:
    """An order's JSON. Raises Refused."""
    try:
        body = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise Refused(f"{path}: {error.strerror or type(error).__name__}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused(f"{path}: it is no JSON") from None
    if not isinstance(body, dict):
        raise Refused(f"{path}: it holds no JSON object")
    return body


def classic_or_event(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Topic and body as a delivery has them: of a webhook, of the REST API (`{"order": …}`), of
    Shopify Events, or the answer of a GraphQL query. Raises Refused."""
    if "action" in body and "query_variables" in body:
        return str(body.get("topic", "Order")), body
    data = body.get("data")
    inner = data.get("order") if isinstance(data, dict) else body.get("order")
    order_body = inner if isinstance(inner, dict) else body
    if str(order_body.get("id", "")).startswith("gid://") and "createdAt" in order_body:
        return "Order", {
            "topic": "Order",
            "action": "update",
            "query_variables": {"orderId": order_body["id"]},
            "data": {"order": order_body},
        }
    if "id" in order_body and "created_at" in order_body:
        return "orders/updated", order_body
    raise Refused("it is no order: neither a webhook's body, nor one of GraphQL or Shopify Events")


def preview(
    settings: Settings, shop: ShopSettings, body: dict[str, Any], received: datetime | None = None
) -> list[Preview]:
    """Every event of the order, as each account of the shop would get it. Raises Refused."""
    if not shop.destinations:
        raise Refused(f"{shop.domain} has no destination: set META_PIXEL_ID and META_ACCESS_TOKEN")
    now_ms = time.time_ns() // 1_000_000 if received is None else int(received.timestamp() * 1000)
    topic, sent = classic_or_event(body)
    headers = {"source": "shopify", "shop": shop.domain, "topic": topic}
    record = Record("orders", shop.domain, "preview", now_ms, headers, json.dumps(sent).encode())
    entry = Entry(record, 0, 0)
    try:
        order = decode_order(entry, zones(settings))
    except Rejected as error:
        raise Refused(f"the order cannot be understood: {error.detail or error.reason}") from None
    if not isinstance(order, Order):
        raise Refused("the body brings no whole order: its query had errors, or cut lists short")
    rows = _rows(settings, shop, entry, now_ms)
    hidden = set(_personal(msgspec.json.decode(order.body)))
    return [_preview(shop, row, order, hidden) for row in rows]


def _rows(settings: Settings, shop: ShopSettings, entry: Entry, now_ms: int) -> list[OutboxRow]:
    kinds = dict.fromkeys(account.kind for account in shop.destinations.values())
    columns = ", ".join(OutboxRow._fields)
    with TemporaryDirectory() as folder:
        store = SqlStore.open(f"sqlite:///{folder}/preview.db")
        try:
            for kind in kinds:
                processor = outbox_processor(settings, kind, Context())
                event = processor.decode(entry)
                if event is not None:
                    with store.begin() as transaction:
                        processor.apply(transaction, [event], now_ms)
            with store.snapshot() as snapshot:
                found = snapshot.query(
                    f"SELECT {columns} FROM {OUTBOX.table} ORDER BY destination, event_name"
                )
        finally:
            store.close()
    return [OutboxRow(*row) for row in found]


def _preview(shop: ShopSettings, row: OutboxRow, order: Order, hidden: set[str]) -> Preview:
    account = shop.destinations[row.destination]
    kind = KINDS[account.kind]
    event = msgspec.json.decode(row.payload) if row.payload else None
    return Preview(
        destination=row.destination,
        account=kind.account_id(account.settings),
        event_name=row.event_name,
        event_id=row.event_id,
        outcome=row.outcome,
        reason=row.reason,
        event=_shown(event, hidden),
        left_out={} if event is None else kind.left_out(order, account.settings, event),
    )


def _personal(value: Any, name: str = "") -> Iterator[str]:
    """Every personal text of an order's body."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _personal(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _personal(inner, name)
    elif isinstance(value, str) and name in PERSONAL and value.strip():
        yield value.strip().casefold()


def _shown(value: Any, hidden: set[str]) -> Any:
    if isinstance(value, dict):
        return {
            key: HIDDEN if key in SENT_PLAIN else _shown(inner, hidden)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_shown(inner, hidden) for inner in value]
    if isinstance(value, str) and value.strip().casefold() in hidden:
        return HIDDEN
    return value
