"""The answers of `/v1/status`, `/readyz` and `/healthz`, field by field."""

from typing import Annotated, Literal

from msgspec import Meta, Struct


class RoleStatus(Struct, frozen=True, kw_only=True):
    """One process of `orderwire serve`."""

    role: Annotated[
        str, Meta(description="Its role: receive, process or query.", examples=["process"])
    ]
    instance: Annotated[
        str, Meta(description="Name of the process: host and pid.", examples=["web-1:4242"])
    ]
    pid: Annotated[int, Meta(description="Process id on its host.", examples=[4242])]
    started_at: Annotated[
        str, Meta(description="When it started.", examples=["2026-11-22T09:00:00.000Z"])
    ]
    restarts: Annotated[
        int, Meta(description="How often its supervisor has started it again.", examples=[0])
    ]
    alive: Annotated[
        bool, Meta(description="Whether it has reported within 15 s.", examples=[True])
    ]
    beat_at: Annotated[
        str, Meta(description="When it reported last.", examples=["2026-11-22T14:59:59.000Z"])
    ]
    failed: Annotated[
        str | None,
        Meta(
            description="Why it ended last; null once it is up again.",
            examples=["LogError: log data/log.db: not a SQLite database"],
        ),
    ]
    settings_error: Annotated[
        str | None,
        Meta(
            description="Why orderwire.toml was not read again when it changed: the role goes by"
            " the settings of before; null otherwise.",
            examples=["orderwire.toml cannot be read: Expected '=' after a key"],
        ),
    ]


class ProcessorStatus(Struct, frozen=True, kw_only=True):
    """How far a processor is on a topic."""

    name: Annotated[str, Meta(description="The processor.", examples=["orders"])]
    topic: Annotated[str, Meta(description="The topic that it reads.", examples=["orders"])]
    partitions: Annotated[int, Meta(description="Partitions of the topic.", examples=[8])]
    lag_records: Annotated[
        int | None,
        Meta(
            description="Records that it has not read; null where the log does not answer.",
            examples=[0],
        ),
    ]
    oldest_s: Annotated[
        float | None,
        Meta(
            description="Age in seconds of the oldest record that it has not read; 0 where there"
            " is none, null where the log does not answer.",
            examples=[0.0],
        ),
    ]
    records: Annotated[int, Meta(description="Records that it has read.", examples=[120384])]
    stopped: Annotated[
        str | None,
        Meta(description="Why it has stopped; null while it works.", examples=[None]),
    ]


class StoppedShopStatus(Struct, frozen=True, kw_only=True):
    """A shop that a processor has stopped for."""

    processor: Annotated[str, Meta(description="The processor.", examples=["orders"])]
    shop: Annotated[
        str | None,
        Meta(
            description="The shop's domain; null where all are meant.",
            examples=["example.myshopify.com"],
        ),
    ]
    state: Annotated[
        Literal["stopped", "catching_up", "tick_failing"],
        Meta(
            description="How: `stopped` (most of its records fail), `catching_up` (read by itself "
            "until it is where the others are), `tick_failing` (time-driven changes "
            "are not made).",
            examples=["stopped"],
        ),
    ]
    since: Annotated[
        str | None,
        Meta(
            description="Since when; null where that is not known.",
            examples=["2026-11-22T14:00:00.000Z"],
        ),
    ]
    reason: Annotated[
        str | None,
        Meta(
            description="Why; null while it catches up.",
            examples=["100 of the last 100 records failed, 100 in a row"],
        ),
    ]
    go_on: Annotated[
        str | None,
        Meta(
            description="What lets it go on; null where it does so by itself.",
            examples=["restart `orderwire serve` after an upgrade"],
        ),
    ]


class RebuildingShop(Struct, frozen=True, kw_only=True):
    """A shop that a projection counts anew, beside the numbers that answers are made from."""

    shop: Annotated[str, Meta(description="The shop.", examples=["example.myshopify.com"])]
    version: Annotated[
        int | None,
        Meta(description="By which version of the formula; null before it began.", examples=[2]),
    ]
    entities: Annotated[
        int, Meta(description="Orders and checkouts counted so far.", examples=[120384])
    ]
    since: Annotated[
        str | None,
        Meta(
            description="Since when; null before it began.",
            examples=["2026-11-22T14:00:00.000Z"],
        ),
    ]


class UncountedShop(Struct, frozen=True, kw_only=True):
    """A shop whose numbers stand still, since the projection's formula failed on it."""

    shop: Annotated[str, Meta(description="The shop.", examples=["example.myshopify.com"])]
    reason: Annotated[str, Meta(description="Why.", examples=["its formula failed: KeyError"])]
    go_on: Annotated[
        str,
        Meta(
            description="What lets it go on.",
            examples=["upgrade orderwire: the shop is then counted anew by itself; …"],
        ),
    ]


class ProjectionStatus(Struct, frozen=True, kw_only=True):
    """How an aggregate's numbers are counted from orders and checkouts."""

    name: Annotated[str, Meta(description="The projection.", examples=["rfm"])]
    version: Annotated[
        int | None,
        Meta(
            description="The newest version of its formula that answers are made from; null where "
            "no shop is counted yet.",
            examples=[1],
        ),
    ]
    shops: Annotated[int, Meta(description="Shops that it counts.", examples=[1])]
    rebuilding: Annotated[
        list[RebuildingShop],
        Meta(description="Shops counted anew now, or waiting for it."),
    ]
    stopped: Annotated[
        list[UncountedShop],
        Meta(description="Shops that it has stopped for, until a rebuild succeeds."),
    ]


class SpoolStatus(Struct, frozen=True, kw_only=True):
    """What receivers keep in their spool files while the log takes nothing."""

    records: Annotated[int, Meta(description="Records in the files.", examples=[0])]
    bytes: Annotated[int, Meta(description="Size of the files.", examples=[0])]
    oldest_s: Annotated[
        float | None,
        Meta(description="Age in seconds of the oldest record; null without any.", examples=[None]),
    ]
    set_aside: Annotated[
        int,
        Meta(
            description="Records that the log has refused for good; `orderwire replay --set-aside`"
            " tries them again.",
            examples=[0],
        ),
    ]


class ParkedStatus(Struct, frozen=True, kw_only=True):
    """Records that could not be understood and wait to be replayed."""

    records: Annotated[int, Meta(description="How many wait.", examples=[3])]
    by_reason: Annotated[
        dict[str, int],
        Meta(
            description="How many wait for each reason.",
            examples=[{"malformed_json": 2, "no_order_id": 1}],
        ),
    ]


class FailingJob(Struct, frozen=True, kw_only=True):
    """A shop for which a job's last run failed."""

    shop: Annotated[str, Meta(description="The shop.", examples=["example.myshopify.com"])]
    since: Annotated[
        str,
        Meta(description="When it first failed in a row.", examples=["2026-11-22T14:00:00.000Z"]),
    ]
    failures: Annotated[int, Meta(description="How often in a row.", examples=[3])]
    reason: Annotated[
        str,
        Meta(
            description="Why it failed last.",
            examples=["Meta refuses the access token (code 190)"],
        ),
    ]
    succeeded_at: Annotated[
        str | None,
        Meta(
            description="When it last worked; null where it never did.",
            examples=["2026-11-22T13:00:00.000Z"],
        ),
    ]
    next_at: Annotated[
        str, Meta(description="When it is tried again.", examples=["2026-11-22T15:05:00.000Z"])
    ]


class JobStatus(Struct, frozen=True, kw_only=True):
    """Work on a schedule, of the shops asked about."""

    name: Annotated[str, Meta(description="The job.", examples=["spend"])]
    shops: Annotated[int, Meta(description="Shops that have it.", examples=[1])]
    running: Annotated[int, Meta(description="Shops for which it runs now.", examples=[0])]
    succeeded_at: Annotated[
        str | None,
        Meta(
            description="When it last worked for one of them; null where it never did.",
            examples=["2026-11-22T14:50:00.000Z"],
        ),
    ]
    note: Annotated[
        str | None,
        Meta(description="What that run did.", examples=["12 campaign days, 1 changed"]),
    ]
    next_at: Annotated[
        str | None,
        Meta(
            description="When the next run is due; null while all of them run.",
            examples=["2026-11-22T15:50:00.000Z"],
        ),
    ]
    overdue_s: Annotated[
        float,
        Meta(description="How long the run most overdue has waited, seconds.", examples=[0.0]),
    ]
    failing: Annotated[
        list[FailingJob], Meta(description="Shops for which the last run failed, and why.")
    ]


class DeliveryStatus(Struct, frozen=True, kw_only=True):
    """Deliveries of a shop on a topic."""

    shop: Annotated[str, Meta(description="The shop.", examples=["example.myshopify.com"])]
    topic: Annotated[
        str,
        Meta(
            description="Shopify's topic, `Order` or `Refund` of Shopify Events, or Meta's field.",
            examples=["orders/create"],
        ),
    ]
    last: Annotated[
        str, Meta(description="When the last one came.", examples=["2026-11-22T14:59:59.000Z"])
    ]
    today: Annotated[
        int,
        Meta(description="How many came today: in SHOPIFY_TIMEZONE, else in UTC.", examples=[41]),
    ]


class MissedStatus(Struct, frozen=True, kw_only=True):
    """Orders of one hour that no webhook brought, and reconcile did."""

    shop: Annotated[str, Meta(description="The shop.", examples=["example.myshopify.com"])]
    topic: Annotated[
        str,
        Meta(description="The webhook that would have brought them.", examples=["orders/create"]),
    ]
    hour: Annotated[
        str,
        Meta(
            description="When the hour of the change began.", examples=["2026-11-22T14:00:00.000Z"]
        ),
    ]
    orders: Annotated[int, Meta(description="How many.", examples=[2])]


class StatementStatus(Struct, frozen=True, kw_only=True):
    """The newest past day of which Shopify was asked for its orders."""

    shop: Annotated[str, Meta(description="The shop.", examples=["example.myshopify.com"])]
    day: Annotated[str, Meta(description="The shop's day.", examples=["2026-11-21"])]
    read_at: Annotated[
        str, Meta(description="When Shopify was asked.", examples=["2026-11-22T00:10:00.000Z"])
    ]


class RefetchStatus(Struct, frozen=True, kw_only=True):
    """A shop's orders and refunds that Shopify Events named and did not bring whole."""

    shop: Annotated[str, Meta(description="The shop.", examples=["example.myshopify.com"])]
    waiting: Annotated[int, Meta(description="How many wait to be fetched.", examples=[2])]
    lacking: Annotated[
        dict[str, int],
        Meta(
            description="How many for each reason: `query_errors` (the app may not read a field),"
            " `no_data`, `cut_short` (more lines than the query asks for).",
            examples=[{"query_errors": 2}],
        ),
    ]
    since: Annotated[
        str,
        Meta(description="Since when the oldest waits.", examples=["2026-11-22T14:59:00.000Z"]),
    ]
    go_on: Annotated[
        str | None,
        Meta(
            description="What lets them be fetched; null where that is under way.",
            examples=["set SHOPIFY_ADMIN_TOKEN, so that they can be fetched"],
        ),
    ]


class AlarmStatus(Struct, frozen=True, kw_only=True):
    """Something that somebody should look at (docs/operation.md, "Alarms")."""

    alarm: Annotated[str, Meta(description="Its name.", examples=["DeliveryPaused"])]
    shop: Annotated[
        str | None,
        Meta(
            description="The shop that it is about; null where it is about none.",
            examples=["example.myshopify.com"],
        ),
    ]
    about: Annotated[
        dict[str, str],
        Meta(description="What else it is about.", examples=[{"destination": "meta"}]),
    ]
    state: Annotated[
        Literal["pending", "firing"],
        Meta(
            description="`firing` once it has lasted as long as the alarm says.",
            examples=["firing"],
        ),
    ]
    since: Annotated[str, Meta(description="Since when.", examples=["2026-11-22T14:00:00.000Z"])]
    cause: Annotated[
        str | None,
        Meta(
            description="Why; null where the alarm's meaning says it all.",
            examples=["Invalid OAuth access token"],
        ),
    ]


class Status(Struct, frozen=True, kw_only=True):
    """The installation, and the records parked of the shops asked about."""

    version: Annotated[str, Meta(description="The program's version.", examples=["0.1.0"])]
    log: Annotated[str, Meta(description="What the log is: sqlite or kafka.", examples=["sqlite"])]
    store: Annotated[
        str, Meta(description="What the store is: sqlite or postgresql.", examples=["sqlite"])
    ]
    roles: Annotated[list[RoleStatus], Meta(description="Every process that has reported.")]
    processors: Annotated[
        list[ProcessorStatus],
        Meta(description="Every processor, once for each topic that it reads."),
    ]
    stopped_shops: Annotated[
        list[StoppedShopStatus],
        Meta(description="Shops that a processor has stopped for, of those asked about."),
    ]
    projections: Annotated[
        list[ProjectionStatus],
        Meta(description="How aggregates are counted, of the shops asked about."),
    ]
    jobs: Annotated[
        list[JobStatus], Meta(description="Work on a schedule, of the shops asked about.")
    ]
    deliveries: Annotated[
        list[DeliveryStatus],
        Meta(description="The last delivery on each topic, of the shops asked about."),
    ]
    missed_by_webhook: Annotated[
        list[MissedStatus],
        Meta(description="What reconcile found in the last 48 hours, of the shops asked about."),
    ]
    statements: Annotated[
        list[StatementStatus],
        Meta(description="The day that GET /v1/statement knows, of the shops asked about."),
    ]
    refetch: Annotated[
        list[RefetchStatus],
        Meta(description="Orders that wait to be fetched, of the shops asked about."),
    ]
    alarms: Annotated[
        list[AlarmStatus],
        Meta(description="What somebody should look at: of the installation and these shops."),
    ]
    spool: Annotated[SpoolStatus, Meta(description="What waits in spool files.")]
    parked: Annotated[ParkedStatus, Meta(description="What could not be understood.")]


class Health(Struct, frozen=True, kw_only=True):
    """The process answers."""

    ok: Annotated[bool, Meta(description="Always true.", examples=[True])]


class Readiness(Struct, frozen=True, kw_only=True):
    """Whether answers are complete and up to date."""

    ready: Annotated[
        bool, Meta(description="False with status 503, true with 200.", examples=[True])
    ]
    reasons: Annotated[
        list[str],
        Meta(
            description="Why it is not ready.",
            examples=[["the store does not answer"]],
        ),
    ]
    notes: Annotated[
        list[str],
        Meta(
            description="What is worth a look and no reason.",
            examples=[["12 records wait in the spool for the log"]],
        ),
    ]
