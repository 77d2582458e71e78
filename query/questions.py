"""The answers that are one function of a snapshot: those of the manifests, and CAPI's."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final

from aggregates.parameters import text
from aggregates.question import Answer, Question
from aggregates.registry import AGGREGATES
from destinations.delivery.answer import capi, capi_order, has_pixel
from destinations.delivery.rows import MATCH_KEYS, OUTCOMES
from processors.engine.feed import Feed
from query.problem import not_found

Json = dict[str, Any]
NO_PIXEL: Final = "no pixel is configured for this shop: set META_PIXEL_ID and META_ACCESS_TOKEN"


def answers() -> Iterator[tuple[Answer, tuple[Feed, ...]]]:
    """Every answer that is one function of a snapshot, with the processors that it rests on."""
    for manifest in AGGREGATES:
        if manifest.answers:
            for answer in import_module(manifest.answers).ANSWERS:
                yield answer, manifest.feeds
    for answer in CAPI_ANSWERS:
        yield answer, CAPI


CAPI: Final = (Feed("capi", "orders"),)
PIXEL: Final = text(
    "pixel",
    "which pixel, where the shop has several; the first one configured otherwise",
    longest=40,
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


CAPI_ANSWERS: Final = (
    Answer(
        "/v1/capi",
        "Purchase events to Meta: outcomes, latency, coverage of match keys",
        _capi,
        ("pixel_id", "state", "paused", "outcomes", "latency_ms", "oldest_unsent_s", "match_keys"),
        (PIXEL,),
    ),
    Answer(
        "/v1/capi/orders/{order_id}",
        "One order's delivery to Meta, attempt by attempt",
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
