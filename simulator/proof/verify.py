"""Verifies a settled system from outside: by the log, by the oracle, by a fold of the whole log, by
the Graph stand-in's account.

Each function returns the differences in words; an empty list is right. Deliveries are read from the
log, since others may post their own; first of all, the log must contain all of ours.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from aggregates.rfm.fold import projection as rfm
from aggregates.rfm.fold.days import PURCHASE_DAYS
from processors.engine.feed import Feed
from processors.engine.processor import Processor
from processors.engine.projection import live_key
from query.as_of import Spans, behind_by_partition
from simulator.proof.oracle import ExpectedOrder, expected_orders, purchase
from simulator.proof.sums import BATCH, CELLS, Differences, cells_differ, refolded, unequal
from simulator.shop.delivery import Delivery
from simulator.shop.mangle import REFUSED
from stream.log.contract import Log
from stream.record import TOPICS, Entry
from stream.store.contract import Reading, Store

SHOWN = 3
"""Examples shown per kind of difference."""


class Check(NamedTuple):
    """One line of the result: what was checked, in how many cases, and what was wrong."""

    name: str
    cases: int
    differences: Differences


@dataclass(frozen=True, slots=True)
class Sent:
    """What the shop's side knows of its deliveries."""

    acknowledged: Mapping[str, int]
    """Webhook id -> how often it was answered 200."""
    broken: Mapping[str, str]
    """Webhook id -> kind, of those that were broken on purpose (`mangle.PARKED`, `mangle.REFUSED`).
    """
    unexpected: Collection[tuple[str, str, int, int]] = ()
    """(webhook id, kind, expected status, status)."""
    gave_up: Collection[str] = ()


async def everything(log: Log) -> list[Entry]:
    """Every record of every topic."""
    found: list[Entry] = []
    for topic in TOPICS:
        for partition, span in (await log.spans(topic)).items():
            offset = span.first
            while entries := await log.scan(topic, partition, offset, BATCH):
                found += entries
                offset = entries[-1].offset + 1
    return found


def answers(sent: Sent) -> Differences:
    """Every delivery was answered in the end, with the expected status."""
    wrong = Counter((kind, expected, status) for _, kind, expected, status in sent.unexpected)
    differences = [
        f"{count} {kind} answered {status} instead of {expected}"
        for (kind, expected, status), count in wrong.items()
    ]
    return differences + [f"{len(sent.gave_up)} never answered"] * bool(sent.gave_up)


def lost(sent: Sent, entries: Iterable[Entry]) -> Differences:
    """Every acknowledged delivery is in the log, by id, and no refused one is."""
    kept = {entry.record.id for entry in entries}
    refused = {webhook_id for webhook_id, kind in sent.broken.items() if kind in REFUSED}
    return [
        *_some("acknowledged, but not in the log", sent.acknowledged.keys() - kept),
        *_some("refused, but in the log", refused & kept),
        *_some("broken, but neither refused nor kept", sent.broken.keys() - refused - kept),
    ]


def behind(feeds: Iterable[Feed], reading: Reading, spans: Spans) -> Differences:
    """Every processor has read its topic to the end."""
    positions = reading.positions()
    differences = []
    for feed in feeds:
        left = sum(behind_by_partition(feed, positions, spans[feed.topic]).values())
        if left:
            differences.append(f"{feed.processor} is {left} records behind on {feed.topic}")
    return differences


def left(feeds: Iterable[Feed], reading: Reading, spans: Spans) -> tuple[int, int]:
    """Work that has not settled: records to fold, over all processors, and events to send."""
    positions = reading.positions()
    records = sum(
        sum(behind_by_partition(feed, positions, spans[feed.topic]).values()) for feed in feeds
    )
    return records, int(reading.query("SELECT count(*) FROM outbox WHERE due_ms IS NOT NULL")[0][0])


def unsent(reading: Reading) -> Differences:
    """No event waits for Meta any more."""
    rows = reading.query(
        "SELECT outcome, count(*) FROM outbox WHERE due_ms IS NOT NULL GROUP BY outcome "
        "ORDER BY outcome"
    )
    return [f"{count} events are {outcome}" for outcome, count in rows]


def arrived(entries: Iterable[Entry], broken: Collection[str]) -> list[Delivery]:
    """Deliveries of the log for the oracle, without those that were broken on purpose."""
    return [
        Delivery(
            topic=headers.get("topic", ""),
            webhook_id=entry.record.id,
            event_id=headers.get("event_id", ""),
            triggered_at=headers.get("triggered_at", ""),
            body=entry.record.body,
            headers=headers,
            key="",
        )
        for entry in entries
        if entry.record.topic in ("orders", "checkouts") and entry.record.id not in broken
        for headers in (entry.record.headers,)
    ]


def oracle_differs(orders: Iterable[ExpectedOrder], reading: Reading, shop: str) -> Differences:
    """Customers' purchase days, customers and the RFM window equal the oracle's."""
    days: defaultdict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
    left_out = [0, 0]
    key = live_key(reading, shop, rfm.NAME)
    for order in orders:
        if order.counted:
            guest = f"g:{order.email_sha256[:32]}" if order.email_sha256 else None
            customer = order.customer_id or guest
            total = left_out if customer is None else days[customer, (order.day - _EPOCH).days]
            total[0] += 1
            total[1] += order.net
    kept = {
        (customer, day): [bought, revenue]
        for customer, day, bought, revenue in reading.query(
            f"SELECT customer, day, orders, revenue FROM {PURCHASE_DAYS} AS d WHERE shop = :shop",
            shop=key,
        )
    }
    differences = unequal("purchase days", kept, dict(days), "the oracle")
    found = reading.query(
        "SELECT orders, revenue FROM rfm_left_out_cell WHERE shop = :shop "
        "AND reason = 'no_customer'",
        shop=key,
    )
    if [sum(row[0] for row in found), sum(row[1] for row in found)] != left_out:
        differences.append(
            f"orders without a customer: {[tuple(row) for row in found]}, by the oracle {left_out}"
        )
    as_of = reading.query("SELECT as_of_day FROM rfm_shop WHERE shop = :shop", shop=key)
    first = as_of[0][0] - rfm.WINDOW_DAYS if as_of else 0
    inside: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for (customer, day), total in days.items():
        if day > first:
            inside[customer] = [inside[customer][0] + total[0], inside[customer][1] + total[1]]
    rows = reading.query(
        "SELECT customer, orders, revenue FROM rfm_customer WHERE shop = :shop AND orders > 0",
        shop=key,
    )
    differences += unequal(
        "rfm_customer", {row[0]: list(row[1:]) for row in rows}, dict(inside), "the oracle"
    )
    expected = (len(inside), *(sum(total[part] for total in inside.values()) for part in (0, 1)))
    window = reading.query(
        "SELECT sum(customers), sum(order_count), sum(revenue) FROM rfm_cell WHERE shop = :shop",
        shop=key,
    )[0]
    if tuple(int(value or 0) for value in window) != expected:
        differences.append(
            f"customers, orders, revenue in the window: {tuple(window)}, by the oracle {expected}"
        )
    return differences


def meta_differs(
    account: Mapping[str, Any],
    orders: Iterable[ExpectedOrder],
    pixel_id: str,
    since: datetime,
    until: datetime,
) -> Differences:
    """The Graph stand-in's account (`/account?events=1`) has what Meta should have of these orders.

    Each sale once, under one event id, with one payload; nothing else; nothing refused. `since` and
    `until` are when the first order was sent and when this is checked: which orders are too old
    changes meanwhile.
    """
    kept = _kept(account, pixel_id)
    expected = list(orders)
    must = {
        order.order_id
        for order in expected
        if purchase(order, until) == "must" and purchase(order, since) == "must"
    }
    never = {order.order_id for order in expected if purchase(order, since) == "must_not"} - must
    return [
        *_some("sales that Meta does not have", must - kept.keys()),
        *_some("sent, but no sale for Meta", never & kept.keys()),
        *_some("sent, but never heard of", kept.keys() - {order.order_id for order in expected}),
        *(
            f"event {one['event_id']} of order {one['order_id']} contradicts itself: {one['kind']}"
            for one in account["conflicts"][:SHOWN]
        ),
        *(f"{events} events refused: {rule}" for rule, events in account["rejected"].items()),
    ]


def sent_again(account: Mapping[str, Any], pixel_id: str) -> Differences:
    """No event came more than once, unless a request had no good answer: a sender in doubt must
    send again.

    Only valid if no sender was killed: a new one is in doubt too.
    """
    if not set(account["answers"]) <= {"200"}:
        return []
    return _some(
        "sent more than once without need",
        {event_id for event_id, times in _kept(account, pixel_id).items() if times > 1},
    )


def _kept(account: Mapping[str, Any], pixel_id: str) -> dict[str, int]:
    """How often the stand-in kept each Purchase, by event id."""
    return {
        event_id: times
        for pixel, name, event_id, _, times, _ in account["events"]
        if pixel == pixel_id and name == "Purchase" and times
    }


_EPOCH = datetime(1970, 1, 1).date()  # noqa: DTZ001 - only its date


async def verify(
    *,
    log: Log,
    store: Store,
    processors: Sequence[Processor[Any]],
    sent: Sent,
    account: Mapping[str, Any],
    shop: str,
    pixel_id: str,
    since: datetime,
    clock: Callable[[], datetime],
    folder: Path,
    thread: Callable[..., Any],
) -> list[Check]:
    """All checks of one run. `folder` is for the store that the log is folded into; `thread` runs
    blocking code."""
    entries = await everything(log)
    spans = {topic: await log.spans(topic) for topic in TOPICS}
    feeds = [Feed(processor.name, processor.topic) for processor in processors]
    until = clock()

    def stored() -> list[Check]:
        deliveries = arrived(entries, sent.broken)
        orders = list(expected_orders(deliveries).values())
        folded = [processor for processor in processors if processor.name != "capi"]
        with store.snapshot() as snapshot:
            to_meta = meta_differs(account, orders, pixel_id, since, until) + sent_again(
                account, pixel_id
            )
            again = refolded(entries, folded, snapshot, folder, int(until.timestamp() * 1000))
            return [
                Check(
                    "every processor at the end of the log",
                    len(feeds),
                    behind(feeds, snapshot, spans),
                ),
                Check("no event waiting for Meta", len(account["events"]), unsent(snapshot)),
                Check(
                    "every aggregate the sum over its entities",
                    len(CELLS) + 1,
                    cells_differ(snapshot),
                ),
                Check("store equals a fold of the log from nothing", len(entries), again),
                Check(
                    "customers and RFM as the oracle has them",
                    len(orders),
                    oracle_differs(orders, snapshot, shop),
                ),
                Check("Meta has every sale once, nothing else", len(orders), to_meta),
            ]

    return [
        Check(
            "every delivery answered as it should be",
            sum(sent.acknowledged.values()),
            answers(sent),
        ),
        Check(
            "every acknowledged delivery in the log", len(sent.acknowledged), lost(sent, entries)
        ),
        *await thread(stored),
    ]


def _some(what: str, ids: Collection[str]) -> Differences:
    return [f"{len(ids)} {what}, such as {', '.join(sorted(ids)[:SHOWN])}"] if ids else []
