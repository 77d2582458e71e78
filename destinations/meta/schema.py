"""What the answers about Meta's accounts have beside `destinations/delivery/schema.py`, and those
of `/v1/capi…`.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct

from destinations.delivery.schema import AccountState, AttemptMade, OrderDelivery, Reason, State

PIXEL_ID = Meta(description="Meta's id of the dataset.", examples=["1234567890"])


class EventQuality(Struct, frozen=True, kw_only=True):
    """Meta's view of one event name; values are as Meta says them, null where it says none."""

    event_match_quality: Annotated[Any, Meta(description="Score, of 10.", examples=[8.1])]
    coverage_percent: Annotated[
        Any,
        Meta(description="Percent of events with each field.", examples=[{"em": 98.0, "ph": 61.2}]),
    ]
    event_coverage: Annotated[
        Any,
        Meta(
            description="Events of the server by events of the browser.",
            examples=[{"percentage": 92.0, "goal_percentage": 75.0}],
        ),
    ]
    dedupe_key_feedback: Annotated[
        Any, Meta(description="How far repeats can be recognised.", examples=[None])
    ]
    data_freshness: Annotated[
        Any, Meta(description="How soon events arrive.", examples=["real_time"])
    ]


class QualityDay(Struct, frozen=True, kw_only=True):
    """A day's last score of Purchase events."""

    day: Annotated[str, Meta(description="The day, in UTC.", examples=["2026-11-22"])]
    event_match_quality: Annotated[float, Meta(description="Score, of 10.", examples=[8.1])]


class DatasetQuality(Struct, frozen=True, kw_only=True):
    """Match quality as Meta said it last."""

    events: Annotated[dict[str, EventQuality], Meta(description="By event name.")]
    reason: Reason
    as_of: Annotated[
        str, Meta(description="When Meta was asked.", examples=["2026-11-22T12:00:00.000Z"])
    ]
    trend: Annotated[
        list[QualityDay],
        Meta(description="Purchase's score day by day, oldest first, of 90 days at most."),
    ] = []


MatchKeyShares = dict[str, float | None]


class BrowserPixel(Struct, frozen=True, kw_only=True):
    """What the custom pixel in the shop's pages adds (`orderwire pixel`)."""

    last_post: Annotated[
        str | None,
        Meta(
            description="When it posted last, to the hour.", examples=["2026-11-22T12:00:00.000Z"]
        ),
    ]
    last_match: Annotated[
        str | None,
        Meta(
            description="When a post met a sale last, to the hour; within a week, sales wait.",
            examples=["2026-11-22T12:00:00.000Z"],
        ),
    ]
    completed_events: Annotated[
        int, Meta(description="Events that its facts completed.", examples=[301])
    ]
    match_keys_with: Annotated[
        MatchKeyShares,
        Meta(description="Share of those events with each field.", examples=[{"fbp": 0.94}]),
    ]
    match_keys_without: Annotated[
        MatchKeyShares,
        Meta(description="Share of the other events.", examples=[{"fbp": 0.2}]),
    ]


class DedupeKey(Struct, frozen=True, kw_only=True):
    """How far Meta can recognise one sale's two events by a key; shares of 1."""

    key: Annotated[str, Meta(description="The key.", examples=["event_id"])]
    browser: Annotated[
        float | None, Meta(description="The browser's events that have it.", examples=[1.0])
    ]
    server: Annotated[
        float | None, Meta(description="The servers' events that have it.", examples=[1.0])
    ]
    both: Annotated[
        float | None,
        Meta(description="The browser's events whose key a server sent as well.", examples=[0.93]),
    ]


class BrowserComparison(Struct, frozen=True, kw_only=True):
    """Our Purchases beside the browser's, as far as Meta's dataset quality says."""

    built: Annotated[
        int,
        Meta(description="Our events that were or would have been sent.", examples=[412]),
    ]
    sent: Annotated[int, Meta(description="Those among them that were sent.", examples=[0])]
    servers_by_browser: Annotated[
        float | None,
        Meta(
            description="Events of all servers by events of the browser; null where Meta says"
            " none.",
            examples=[0.92],
        ),
    ]
    goal: Annotated[float | None, Meta(description="What Meta wants that to be.", examples=[0.75])]
    dedupe_keys: Annotated[
        list[DedupeKey], Meta(description="How far repeats are recognised, by key.")
    ]
    another_server: Annotated[
        bool | None,
        Meta(
            description="Whether a server other than ours sends Purchases; null once ours does, or"
            " where Meta does not say.",
            examples=[False],
        ),
    ]
    meaning: Annotated[
        str,
        Meta(
            description="The same in words, with what to do.",
            examples=["Meta has counted no Purchase of a server: nobody else sends them from one"],
        ),
    ]


class MetaAccount(AccountState, frozen=True, kw_only=True):
    """One of Meta's datasets (pixels)."""

    browser: Annotated[BrowserPixel, Meta(description="What the browser's pixel adds.")]
    pixel_id: Annotated[str | None, PIXEL_ID]
    dataset_quality: Annotated[
        DatasetQuality | None, Meta(description="Meta's own view; null until it is polled.")
    ]
    comparison: Annotated[
        BrowserComparison, Meta(description="Our Purchases beside the browser's.")
    ]
    fallback_event_ids: Annotated[
        int,
        Meta(
            description="Sales, up to 10,000, whose order lacks a field of META_EVENT_ID, so that"
            " no browser's event has their id.",
            examples=[0],
        ),
    ]


class SentPredictedLtv(Struct, frozen=True, kw_only=True):
    """Whether Purchase events of new customers carry `predicted_ltv`."""

    wanted: Annotated[
        bool, Meta(description="`META_SEND_PREDICTED_LTV` of any account.", examples=[True])
    ]
    sent: Annotated[bool, Meta(description="Whether it is sent.", examples=[False])]
    reason: Reason


class CapiAccount(MetaAccount, frozen=True, kw_only=True):
    """The account named meta, or the one of the pixel asked for."""

    state: Annotated[
        State | None,
        Meta(description="Whether events go out; null without a pixel.", examples=["sending"]),
    ]
    predicted_ltv: Annotated[
        SentPredictedLtv, Meta(description="Whether new customers' events carry a prediction.")
    ]
    reason: Reason


class GraphAttempt(AttemptMade, frozen=True, kw_only=True):
    """A request to the Graph API; the codes are null where Meta gave none."""

    code: Annotated[int | None, Meta(description="Meta's error code.", examples=[2])]
    subcode: Annotated[int | None, Meta(description="Meta's error subcode.", examples=[None])]
    fbtrace_id: Annotated[
        str | None, Meta(description="Meta's id of the request.", examples=["AbC"])
    ]


class CapiDelivery(OrderDelivery[GraphAttempt], frozen=True, kw_only=True):
    """An order's Purchase event for Meta."""

    pixel_id: Annotated[str, PIXEL_ID]
