"""The outbox of one Meta account as tests fold, claim and read it."""

from datetime import timedelta
from typing import Any

from destinations.delivery import results
from destinations.delivery.answer import ShownAccount
from destinations.delivery.backoff import GROWING
from destinations.delivery.ledger import (
    claim,
)
from destinations.delivery.results import Attempt
from destinations.delivery.rows import OutboxRow
from destinations.delivery.verdict import ErrorClass, Verdict
from destinations.meta.destination import REPEAT_MS
from destinations.meta.kind import KIND
from destinations.meta.settings import CapiSettings
from processors.shopify.orders import Order
from stream.store.contract import Store
from tests.contracts.destination_kit import (
    assert_cells_are_the_sum_over_rows as assert_cells_are_the_sum_over_rows,
)
from tests.contracts.destination_kit import rows as rows
from tests.support.delivery.capi_orders import (
    ACCOUNT,
    NOW,
    NOW_MS,
    PIXEL,
    SHOP,
    settings,
)
from tests.support.delivery.capi_orders import processor as outbox_processor

SENT = Attempt(NOW_MS + 40, 10, "sent", 200, {"code": None, "subcode": None, "fbtrace_id": "T1"})


LEASE_MS = 60_000


HOUR_MS = 3_600_000


REFUSED = Verdict(
    ErrorClass.PERMANENT,
    http_status=400,
    code=100,
    reason="a Purchase without value (code 100, subcode 2804009, HTTP 400, trace T2)",
)


META = ShownAccount(SHOP, ACCOUNT, KIND, PIXEL, 7 * 86_400)


def failed(row: OutboxRow, made: Attempt, verdict: Verdict) -> OutboxRow:
    """As the sender does it, in the middle of the jitter."""
    return results.failed(row, made, verdict, 0.5, GROWING, REPEAT_MS)


def waiting(row: OutboxRow, due_ms: int, made: Attempt | None) -> OutboxRow:
    return results.waiting(row, due_ms, made, repeat_ms=REPEAT_MS)


def fold(store: Store, *orders: Order, chosen: CapiSettings | None = None) -> None:
    processor = outbox_processor(chosen or settings())
    with store.begin() as transaction:
        processor.apply(transaction, orders, NOW_MS)


def take(
    store: Store, claim_id: str = "a", now_ms: int = NOW_MS, limit: int = 1000
) -> list[OutboxRow]:
    with store.begin() as transaction:
        return claim(transaction, store.dialect, SHOP, ACCOUNT, claim_id, now_ms, LEASE_MS, limit)


def later(minutes: int) -> dict[str, Any]:
    return {"updated_at": (NOW + timedelta(minutes=minutes)).isoformat()}


UNANSWERED = Verdict(ErrorClass.TRANSIENT, ambiguous=True)
