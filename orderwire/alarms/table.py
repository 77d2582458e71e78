"""Every alarm. `make kit` writes what is made from this table."""

from typing import Final

from orderwire.alarms.alarm import Alarm, alarm
from stream import metric_names as names

HOUR_S: Final = 3600

ALARMS: Final[tuple[Alarm, ...]] = (
    alarm(
        "NotReady",
        names.READY,
        "answers would be incomplete, or nothing moves: `/readyz` has the `reasons`",
        "the tables below",
        below=1,
        for_s=60,
        severity="critical",
    ),
    alarm(
        "StoreNotWritten",
        names.STORE_WRITABLE,
        "the store takes no writes: its disk is full, it is read-only, damaged or away",
        "the log line `heartbeat not written` has the database's words; 'What each error means'",
        below=1,
        for_s=10,
        severity="critical",
    ),
    alarm(
        "DiskShort",
        names.DISK_SHORT,
        "less than 5 % or 1 GiB is free where log, store or spool is",
        "make room; `orderwire doctor` checks the same",
        severity="critical",
    ),
    alarm(
        "DeliveriesRefused",
        names.DELIVERIES,
        "the log does not take deliveries, 503 goes out",
        "disk full? Kafka and the spool full? Shopify sends again for 4 hours",
        where={"outcome": ("unavailable", "busy")},
        severity="critical",
    ),
    alarm(
        "UnsignedDeliveries",
        names.DELIVERIES,
        "a secret was changed at Shopify, or somebody is trying",
        "'Changing a secret'",
        where={"outcome": ("unsigned",)},
        above=20,
    ),
    alarm(
        "Behind",
        names.UNREAD_SECONDS,
        "a processor is behind",
        "`orderwire status`; `docs/scale.md` if it is load",
        above=60,
        for_s=300,
    ),
    alarm(
        "PartStopped",
        names.STOPPED,
        "a processor has stopped, or another part of the role process fails again and again",
        "`orderwire status` has the reason; 'Something has stopped', 'A position was lost'",
        severity="critical",
    ),
    alarm(
        "ShopStopped",
        names.STOPPED_SHOPS,
        "most of a shop's records meet a mistake of ours",
        "'Something has stopped'",
        severity="critical",
    ),
    alarm(
        "RecordsParked",
        names.RECORDS_PARKED,
        "records that cannot be understood",
        "'Parked records'",
        window_s=900,
    ),
    alarm(
        "RecordsIgnored",
        names.RECORDS_IGNORED,
        "a subscription whose deliveries are no orders",
        "the topics of the subscription",
        where={"processor": ("orders",)},
        window_s=HOUR_S,
        share_of=names.RECORDS,
        above=0.9,
        for_s=HOUR_S,
    ),
    alarm(
        "JobFailing",
        names.JOB_FAILING,
        "a job on a schedule fails for a shop",
        "`jobs` of `orderwire status` says why, and when it is tried again",
        without={"job": "watchdog"},
        for_s=HOUR_S,
    ),
    alarm(
        "TopicSilent",
        names.JOB_FAILING,
        "a topic is silent although Shopify has orders, or a subscription is refused",
        "'Subscriptions'",
        where={"job": ("watchdog",)},
    ),
    alarm(
        "DeliveryPaused",
        names.DELIVERY_PAUSED,
        "Meta refuses token, grant or pixel, or all events alike",
        "'Meta'",
        severity="critical",
    ),
    alarm(
        "DeliveryFailing",
        names.DELIVERY_FAILING,
        "a receiver cannot be reached, or answers with errors",
        "`failing` of `GET /v1/capi` (or of the destination) has since when and the cause; the log"
        " repeats it every minute",
        for_s=300,
    ),
    alarm(
        "EventsWait",
        names.DELIVERY_OLDEST,
        "events wait (`orderwire_delivery_pending_events`); Meta takes none older than 7 days",
        "the two rows above",
        above=HOUR_S,
    ),
    alarm(
        "SpoolUsed",
        names.SPOOL_RECORDS,
        "Kafka is away",
        "bring it back; the receiver drains by itself",
        for_s=300,
        severity="critical",
    ),
    alarm(
        "RecordsSetAside",
        names.SPOOL_SET_ASIDE,
        "Kafka refuses records for good",
        "'Kafka refuses records'",
    ),
    alarm(
        "SettingsRefused",
        names.SETTINGS_REFUSED,
        "an edit of the settings cannot be read; the roles go by those of before",
        "the log line `settings not read again` has the reason; 'Shops come and go'",
    ),
    alarm(
        "ClockStepped",
        names.CLOCK_STEPS,
        "the clock of a machine that processes was set; what waits was adjusted",
        "have NTP keep it; the log line `clock stepped` says by how much",
        window_s=900,
    ),
    alarm(
        "RoleRestarts",
        names.ROLE_RESTARTS,
        "a role ends again and again",
        "`failed` of `/v1/status`, and the log, say why",
        above=4,
        severity="critical",
    ),
)
