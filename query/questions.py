"""The registry of answers that are one function of a snapshot: a new aggregate is one line here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct

from aggregates.budget.answer.overview import budget
from aggregates.budget.answer.schema import Budget
from aggregates.carts.answer.histogram import BANDS, CUSTOMERS
from aggregates.carts.answer.open_carts import LIMIT, MOST, OPEN_STATES, open_carts
from aggregates.carts.answer.overview import carts
from destinations.delivery.answer import capi, capi_order, has_pixel
from destinations.delivery.rows import MATCH_KEYS, OUTCOMES
from processors.engine.feed import Feed
from query.api_settings import ShopSettings
from query.parameters import Parameter, choice, text, whole
from query.problem import bad_parameter, not_found
from stream.store.contract import Snapshot

Json = dict[str, Any]
NO_PIXEL: Final = "no pixel is configured for this shop: set META_PIXEL_ID and META_ACCESS_TOKEN"


@dataclass(frozen=True, slots=True)
class Question:
    """What an aggregate may go by."""

    reading: Snapshot
    shop: str
    now_ms: int
    today: int
    """The shop's day, days since 1970-01-01."""
    values: Json
    settings: ShopSettings


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`answer` has the members of docs/api.md but `shop` and `as_of`; `feeds` are the processors
    that it rests on."""

    path: str
    summary: str
    feeds: tuple[Feed, ...]
    answer: Callable[[Question], Json | Struct]
    fields: tuple[str, ...] = ()
    """Members of an answer that has no type yet."""
    parameters: tuple[Parameter, ...] = ()
    schema: type[Struct] | None = None
    """Of the answer."""


CARTS: Final = (Feed("carts", "checkouts"), Feed("orders", "orders"))
BUDGET: Final = (Feed("orders", "orders"), Feed("budget_spend", "spend"))
CAPI: Final = (Feed("capi", "orders"),)
CURSOR: Final = text("cursor", "`next_cursor` of the page before", longest=1_000)
PIXEL: Final = text(
    "pixel",
    "which pixel, where the shop has several; the first one configured otherwise",
    longest=40,
)


def _open_carts(question: Question) -> Json:
    values = dict(question.values)
    try:
        return open_carts(
            question.reading,
            question.shop,
            question.now_ms,
            settings=question.settings.carts,
            **values,
        )
    except ValueError as error:
        raise bad_parameter(
            "cursor", str(error), "the next_cursor of the page before, or none"
        ) from None


def _budget(question: Question) -> Budget:
    return budget(
        question.reading,
        question.shop,
        question.today,
        question.settings.budget,
        question.values["days"],
    )


def _capi(question: Question) -> Json:
    pixels = question.settings.pixel_ids
    pixel_id = question.values["pixel"] or (pixels[0] if pixels else None)
    if pixel_id is None:
        answer = capi(question.reading, question.shop, "", question.now_ms)
        return answer | {
            "pixel_id": None,
            "state": None,
            "reason": NO_PIXEL,
            "outcomes": dict.fromkeys(OUTCOMES, 0),
            "match_keys": dict.fromkeys(MATCH_KEYS),
        }
    if pixel_id not in pixels and not has_pixel(question.reading, question.shop, pixel_id):
        told = f"leave pixel out, or ask for {' or '.join(pixels)}" if pixels else NO_PIXEL
        raise not_found("this shop has no pixel of that id, and never had", told)
    return capi(question.reading, question.shop, pixel_id, question.now_ms) | {"reason": None}


def _capi_order(question: Question) -> Json:
    order_id = question.values["order_id"]
    answer = capi_order(question.reading, question.shop, order_id)
    if answer is None:
        raise not_found(
            "no event was made of this order",
            "look at GET /v1/status: the order may wait behind others, or be parked",
        )
    return answer


AGGREGATES: Final = (
    Aggregate(
        "/v1/carts",
        "Abandoned carts: states, rates by matured cohort, and what open carts are still worth",
        CARTS,
        lambda question: carts(
            question.reading, question.shop, question.now_ms, question.settings.carts
        ),
        (
            "abandoned_after_minutes",
            "states",
            "abandonment_rate",
            "abandonment_rate_shopify",
            "recovery_rate",
            "recovered_revenue",
            "recovery_potential",
            "strata",
        ),
    ),
    Aggregate(
        "/v1/carts/open",
        "Open carts by expected recoverable value, with recovery URL",
        CARTS,
        _open_carts,
        ("items", "next_cursor"),
        (
            choice("state", "only carts in this state", OPEN_STATES),
            choice("value_band", "only carts of this third of values", BANDS),
            choice("customer", "only carts of new or of returning customers", CUSTOMERS),
            whole("limit", "items on a page", 1, MOST, LIMIT),
            CURSOR,
        ),
    ),
    Aggregate(
        "/v1/budget",
        "Ad campaigns: what each cost and earned, Kelly fraction, and the daily budget it should get",
        BUDGET,
        _budget,
        parameters=(
            whole(
                "days",
                "days of money and orders to tell; returns and advice keep to the setting, which is the default",
                7,
                366,
            ),
        ),
        schema=Budget,
    ),
    Aggregate(
        "/v1/capi",
        "Purchase events to Meta: outcomes, latency, coverage of match keys",
        CAPI,
        _capi,
        ("pixel_id", "state", "paused", "outcomes", "latency_ms", "oldest_unsent_s", "match_keys"),
        (PIXEL,),
    ),
    Aggregate(
        "/v1/capi/orders/{order_id}",
        "One order's delivery to Meta, attempt by attempt",
        CAPI,
        _capi_order,
        (
            "order_id",
            "event_name",
            "event_id",
            "outcome",
            "reason",
            "event_time",
            "received_at",
            "sent_at",
            "match_keys",
            "attempts",
        ),
        (text("order_id", "Shopify's order id", longest=64, where="path"),),
    ),
)
