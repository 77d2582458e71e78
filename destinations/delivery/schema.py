"""The answers of `/v1/destinations…`, member by member. What a kind adds of its own is in its
folder (`destinations/delivery/protocol.py`, `AnswerTypes`).
"""

from typing import Annotated, Generic, Literal, TypeVar

from msgspec import Meta, Struct, field

State = Literal["sending", "throttled", "paused", "failing"]
Reason = Annotated[
    str | None,
    Meta(description="Why, in words; null where there is nothing to say.", examples=[None]),
]


class Paused(Struct, frozen=True, kw_only=True):
    """Why nothing is sent now."""

    since: Annotated[
        str | None,
        Meta(description="Since when; null for a throttle.", examples=["2026-11-22T14:00:00.000Z"]),
    ]
    class_: Annotated[
        str,
        Meta(
            description="What has to change: configuration, disabled, throttle and the like.",
            examples=["configuration"],
        ),
    ] = field(name="class")
    code: Annotated[
        int | str | None,
        Meta(description="The receiver's error code, or the rule's.", examples=[190]),
    ]
    message: Annotated[
        str,
        Meta(
            description="Why, in the receiver's words or ours.",
            examples=["Error validating access token"],
        ),
    ]
    next_probe_at: Annotated[
        str | None,
        Meta(
            description="When one event is sent to try it again; null where only a user can ask"
            " for that.",
            examples=["2026-11-22T15:15:00.000Z"],
        ),
    ]


class Failing(Struct, frozen=True, kw_only=True):
    """That requests have failed several times in a row."""

    since: Annotated[
        str, Meta(description="The first failure.", examples=["2026-11-22T14:00:00.000Z"])
    ]
    cause: Annotated[str, Meta(description="What the last one met.", examples=["HTTP 503"])]


class Outcomes(Struct, frozen=True, kw_only=True):
    """Events by what became of them."""

    pending: Annotated[int, Meta(description="Waiting to be sent.", examples=[0])] = 0
    sending: Annotated[int, Meta(description="Being sent now.", examples=[0])] = 0
    sent: Annotated[int, Meta(description="Taken by the receiver.", examples=[412])] = 0
    maybe_accepted: Annotated[
        int, Meta(description="Sent without an answer; sent again.", examples=[0])
    ] = 0
    dead: Annotated[int, Meta(description="Refused; a retry sends them again.", examples=[1])] = 0
    expired: Annotated[int, Meta(description="Not sent in time.", examples=[0])] = 0
    too_old: Annotated[int, Meta(description="Too old when they came.", examples=[3])] = 0
    no_consent: Annotated[
        int, Meta(description="Not sent, since the buyer's consent is missing.", examples=[4])
    ] = 0
    skipped: Annotated[
        int, Meta(description="Not sent, for the `reason` that each has.", examples=[9])
    ] = 0
    dry_run: Annotated[
        int, Meta(description="Built and kept, never sent, as the account is set.", examples=[0])
    ] = 0


class Latency(Struct, frozen=True, kw_only=True):
    """Milliseconds from a delivery to the request that was taken."""

    p50: Annotated[float | None, Meta(description="The median.", examples=[31.0])]
    p95: Annotated[float | None, Meta(description="The 95th percentile.", examples=[88.2])]
    p99: Annotated[float | None, Meta(description="The 99th percentile.", examples=[141.7])]


class AccountState(Struct, frozen=True, kw_only=True):
    """One account that receives a shop's events."""

    name: Annotated[str, Meta(description="The account's name.", examples=["warehouse"])]
    kind: Annotated[str, Meta(description="The destination it is of.", examples=["webhook"])]
    account: Annotated[
        str,
        Meta(
            description="The receiver's own id of it; empty without one.",
            examples=["hooks.example.com"],
        ),
    ]
    state: Annotated[
        State | None,
        Meta(description="Whether events go out; null without an account.", examples=["sending"]),
    ]
    paused: Annotated[
        Paused | None,
        Meta(
            description="Why nothing is sent now; null unless throttled or paused.",
            examples=[None],
        ),
    ]
    failing: Annotated[
        Failing | None,
        Meta(description="Since when requests fail; null unless they do.", examples=[None]),
    ]
    outcomes: Annotated[
        Outcomes, Meta(description="Events since the beginning, by what became of them.")
    ]
    latency_ms: Annotated[Latency, Meta(description="How soon events are sent.")]
    oldest_unsent_s: Annotated[
        int | None,
        Meta(
            description="Age in seconds of the oldest event still to be sent; null without one.",
            examples=[None],
        ),
    ]
    oldest_unsent_limit_s: Annotated[
        int,
        Meta(
            description="The age in seconds at which an event usually is too old to be sent.",
            examples=[604800],
        ),
    ]
    match_keys: Annotated[
        dict[str, float | None],
        Meta(
            description="Share of events that have each field by which people are matched; null"
            " without events.",
            examples=[{"em": 0.98, "ph": 0.61}],
        ),
    ]
    predicted_rejections: Annotated[
        dict[str, int],
        Meta(
            description="Events not sent because the receiver would refuse them, by its code.",
            examples=[{"2804050": 1}],
        ),
    ]


class Accounts(Struct, frozen=True, kw_only=True):
    """Every account that receives or received a shop's events."""

    items: Annotated[
        list[AccountState],
        Meta(description="The accounts, each as `GET /v1/destinations/{name}` has it."),
    ]
    next_cursor: Annotated[
        str | None,
        Meta(description="`cursor` of the next page; null on the last one.", examples=[None]),
    ]


class AttemptMade(Struct, frozen=True, kw_only=True):
    """One request in which an event was sent, or meant to be."""

    at: Annotated[str, Meta(description="When.", examples=["2026-11-22T14:59:00.300Z"])]
    duration_ms: Annotated[int, Meta(description="How long it took.", examples=[212])]
    class_: Annotated[
        str,
        Meta(
            description="What the answer meant: sent, or the class of error; ambiguous without an"
            " answer, lost where the sender died.",
            examples=["transient"],
        ),
    ] = field(name="class")
    http_status: Annotated[
        int | None, Meta(description="HTTP status; null without an answer.", examples=[503])
    ]


A = TypeVar("A", bound=AttemptMade)


class EventDelivery(Struct, Generic[A], frozen=True, kw_only=True):
    """What became of one event."""

    event_name: Annotated[str, Meta(description="The event's name.", examples=["Purchase"])]
    event_id: Annotated[
        str,
        Meta(
            description="The id by which the receiver knows a repeat.",
            examples=["820982911946154508"],
        ),
    ]
    outcome: Annotated[str, Meta(description="What became of it.", examples=["sent"])]
    reason: Reason
    event_time: Annotated[
        str, Meta(description="When it happened.", examples=["2026-11-22T14:58:59.000Z"])
    ]
    received_at: Annotated[
        str,
        Meta(description="When its delivery came.", examples=["2026-11-22T14:59:00.120Z"]),
    ]
    sent_at: Annotated[
        str | None,
        Meta(
            description="When the request began that was taken; null before.",
            examples=["2026-11-22T14:59:00.520Z"],
        ),
    ]
    next_attempt_at: Annotated[
        str | None,
        Meta(description="When it is sent next; null where it is not.", examples=[None]),
    ]
    match_keys: Annotated[
        list[str],
        Meta(
            description="Fields by which its buyer is matched.",
            examples=[["em", "ph", "external_id"]],
        ),
    ]
    attempts: Annotated[
        list[A],
        Meta(description="Its requests in their order; after 30 days the last one only."),
    ]


class OrderDelivery(EventDelivery[A], Generic[A], frozen=True, kw_only=True):
    """What became of an order's events: the newest one, and all of them in `events`."""

    order_id: Annotated[
        str, Meta(description="Shopify's order id.", examples=["820982911946154508"])
    ]
    name: Annotated[str, Meta(description="The account's name.", examples=["warehouse"])]
    account: Annotated[
        str, Meta(description="The receiver's own id of it.", examples=["hooks.example.com"])
    ]
    events: Annotated[
        list[EventDelivery[A]], Meta(description="All events of the order, the newest first.")
    ]


class Retried(Struct, frozen=True, kw_only=True):
    """What a retry has begun."""

    retried: Annotated[int, Meta(description="Dead events that wait again.", examples=[1])] = 0
    probed: Annotated[
        int, Meta(description="Paused accounts that are tried at once.", examples=[0])
    ] = 0
