"""Proves what must be true once the faults are over and all is quiet: every delivery that was
answered 200 is in the log, is counted or parked, and is sent once or has the reason why not."""

import re
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from destinations.delivery.rows import SENT
from orderwire.serve.feeds import running
from orderwire.serve.registry import PROCESSORS
from processors.engine.feed import Feed
from processors.engine.parking import MOST_UNKNOWN, UNKNOWN_TOPIC
from simulator.chaos.installation import Installation, Shop
from simulator.chaos.traffic import ShopTraffic, body_id
from simulator.proof import verify
from simulator.proof.oracle import ExpectedOrder, expected_checkouts, expected_orders
from simulator.proof.sums import CELLS, Differences, cells_differ, refolded
from simulator.proof.verify import Check
from simulator.shop.mangle import PARKED
from stream.record import TOPICS, Entry
from stream.store.contract import Reading, Store

EXPECTED_STATUSES = frozenset({0, 200, 400, 401, 408, 503})
"""What a sender may hear while anything may be away; 0 is no answer. Never 500."""
PRIVATE = re.compile(rb'"(?:email|contact_email|phone|address1|last_name)" ?: ?"([^"]{6,})"')
ATTEMPTS_KEPT = 30
"""Lines of attempts that a row of the outbox remembers."""


def in_log(acknowledged: Collection[bytes], entries: Iterable[Entry]) -> Differences:
    """Every delivery that was answered 200 is in the log, byte for byte."""
    kept = {body_id(entry.record.id, entry.record.body) for entry in entries}
    lost = set(acknowledged) - kept
    return [f"{len(lost)} acknowledged deliveries are not in the log"] if lost else []


def parked(one: ShopTraffic, entries: Sequence[Entry], reading: Reading) -> Differences:
    """What was broken on purpose is parked, with a reason, and nothing else is."""
    kept = {entry.record.id for entry in entries}
    broken = {name for name, kind in one.broken.items() if kind in PARKED and name in kept}
    on_topic = {entry.record.id for entry in entries if entry.record.topic == "parked"}
    differences = [
        *_few("broken, and not parked", broken - on_topic),
        *_few("parked for no reason", on_topic - broken),
    ]
    rows = reading.query(
        "SELECT count(*), sum(CASE WHEN reason = '' THEN 1 ELSE 0 END) FROM parked "
        "WHERE shop = :shop",
        shop=one.shop.domain,
    )
    # Of unknown topics the oldest rows go beyond a number.
    unknown = sum(one.broken[name] == UNKNOWN_TOPIC for name in broken)
    if rows[0][0] < len(broken) - max(0, unknown - MOST_UNKNOWN) or rows[0][1]:
        differences.append(f"{rows[0][0]} rows of parked records, {len(broken)} were broken")
    return differences


def known(
    shop: Shop, entries: Iterable[Entry], broken: Collection[str], reading: Reading
) -> Differences:
    """Each order and each checkout of the log that is not parked has its row, and no other has."""
    deliveries = verify.arrived(entries, broken)
    orders = {
        row[0]
        for row in reading.query(
            "SELECT order_id FROM shop_order WHERE shop = :shop", shop=shop.domain
        )
    }
    checkouts = {
        row[0]
        for row in reading.query(
            "SELECT token FROM cart_checkout WHERE shop = :shop AND updated_us >= 0",
            shop=shop.domain,
        )
    }
    expected = expected_orders(deliveries).keys()
    tokens = expected_checkouts(deliveries).keys()
    return [
        *_few("orders of the log have no row", expected - orders),
        *_few("checkouts of the log have no row", tokens - checkouts),
    ]


def outbox(
    shop: Shop,
    orders: Mapping[str, ExpectedOrder],
    account: Mapping[str, Any],
    reading: Reading,
) -> tuple[Counter[str], Differences]:
    """The shop's events by outcome; and where ledger, orders and Meta contradict each other."""
    rows = reading.query(
        "SELECT order_id, event_id, outcome, attempts FROM outbox "
        "WHERE shop = :shop AND destination = 'meta' AND event_name = 'Purchase'",
        shop=shop.domain,
    )
    kept = {
        event_id: times
        for pixel, name, event_id, _, times, _ in account["events"]
        if pixel == shop.pixel and name == "Purchase" and times
    }
    outcomes = Counter(str(row[2]) for row in rows)
    of_order = Counter(str(row[0]) for row in rows)
    several = {order_id for order_id, events in of_order.items() if events > 1}
    sent = {str(row[1]) for row in rows if row[2] == SENT}
    attempts = {str(row[1]): len(str(row[3]).splitlines()) for row in rows}
    repeated = {
        event_id
        for event_id, times in kept.items()
        if times > max(1, attempts.get(event_id, 0)) and times < ATTEMPTS_KEPT
    }
    return outcomes, [
        *_few("orders with several events", several),
        *_few("paid orders without an event", _paid(orders) - of_order.keys()),
        *_few("events of orders that are in no delivery", of_order.keys() - orders.keys()),
        *_few("events are sent by the ledger, and Meta has them not", sent - kept.keys()),
        *_few("events that Meta has are not in the ledger", kept.keys() - attempts.keys()),
        *_few("events came more often than the ledger has attempts", repeated),
    ]


def _paid(orders: Mapping[str, ExpectedOrder]) -> set[str]:
    return {order_id for order_id, order in orders.items() if order.ever_paid}


def silent(output: str, secrets: Iterable[str], entries: Iterable[Entry]) -> Differences:
    """What `serve` wrote has neither a traceback, nor a secret, nor anybody's address."""
    tracebacks = output.count("Traceback (most recent call last)")
    private = {value for entry in entries for value in PRIVATE.findall(entry.record.body)}
    shown = sum(value.decode() in output for value in private)
    return [
        *([f"{tracebacks} tracebacks"] if tracebacks else []),
        *([f"{shown} values of customers"] if shown else []),
        *(["a secret"] if any(secret in output for secret in secrets) else []),
    ]


def heard(traffic: Iterable[ShopTraffic]) -> Differences:
    """Every delivery was answered in the end, as it should be, and never with an error of ours."""
    differences: Differences = []
    for one in traffic:
        differences += verify.answers(
            verify.Sent(one.answered, one.broken, one.traffic.unexpected, one.traffic.gave_up)
        )
        odd = {
            status: times
            for status, times in one.traffic.statuses.items()
            if status not in EXPECTED_STATUSES
        }
        differences += [f"{times} answers {status}" for status, times in odd.items()]
    return differences


async def prove(
    there: Installation,
    traffic: Sequence[ShopTraffic],
    account: Mapping[str, Any],
    answers: Counter[int],
    thread: Any,
) -> list[Check]:
    """Every proof on an installation whose `serve` has ended. `account` is the Graph stand-in's,
    `answers` are the API's by status; `thread` runs blocking code."""
    settings = there.settings
    log = await there.log()
    try:
        entries = await verify.everything(log)
        spans = {topic: await log.spans(topic) for topic in TOPICS}
    finally:
        await log.close()
    processors = [PROCESSORS[name](settings) for name in running(settings)]
    folded = [processor for processor in processors if processor.name != "capi"]
    feeds = [Feed(processor.name, processor.topic) for processor in processors]
    of_shop = {
        one.shop.domain: [
            entry for entry in entries if entry.record.headers.get("shop") == one.shop.domain
        ]
        for one in traffic
    }

    def stored(store: Store) -> list[Check]:
        now = datetime.now(UTC)
        now_ms = time.time_ns() // 1_000_000
        # Both stores see one tick at one time: the last one of `serve` may be a second old.
        for processor in folded:
            with store.begin() as transaction:
                processor.tick(transaction, now_ms)
        with store.snapshot() as reading:
            checks = [
                Check(
                    "every processor at the end of the log",
                    len(feeds),
                    verify.behind(feeds, reading, spans),
                ),
                Check("no event waiting for Meta", len(account["events"]), verify.unsent(reading)),
                Check(
                    "every aggregate the sum over its entities",
                    len(CELLS) + 1,
                    cells_differ(reading),
                ),
                Check(
                    "store equals a fold of the log from nothing",
                    len(entries),
                    refolded(entries, folded, reading, there.folder, now_ms),
                ),
            ]
            for one in traffic:
                checks += _of_shop(one, reading, now)
            return checks

    def _of_shop(one: ShopTraffic, reading: Reading, now: datetime) -> list[Check]:
        shop, its = one.shop, of_shop[one.shop.domain]
        name = shop.domain.partition(".")[0]
        orders = expected_orders(verify.arrived(its, one.broken))
        outcomes, differences = outbox(shop, orders, account, reading)
        events = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        return [
            Check(
                f"{name}: acknowledged, and in the log",
                len(one.acknowledged),
                in_log(one.acknowledged, its),
            ),
            Check(f"{name}: parked what is broken", len(one.broken), parked(one, its, reading)),
            Check(
                f"{name}: counted what is not parked",
                len(orders),
                known(shop, its, one.broken, reading),
            ),
            Check(
                f"{name}: customers and RFM as the oracle has them",
                len(orders),
                verify.oracle_differs(orders.values(), reading, shop.domain),
            ),
            Check(
                f"{name}: Meta has every sale, under one event id",
                len(orders),
                verify.meta_differs(account, orders.values(), shop.pixel, there.now, now),
            ),
            Check(f"{name}: ledger agrees ({events})", outcomes.total(), differences),
        ]

    def blocking() -> list[Check]:
        store = there.store()
        try:
            return stored(store)
        finally:
            store.close()

    secrets = [there.api_token]
    secrets += [word for shop in there.shops for word in (shop.secret, shop.token)]
    output = there.output.read_text(errors="replace")
    errors = answers[500]
    return [
        Check("every delivery answered", sum(o.traffic.sent for o in traffic), heard(traffic)),
        Check("no 500 of the API", answers.total(), [f"{errors} times"] if errors else []),
        Check("no traceback, secret or address in the output", 1, silent(output, secrets, entries)),
        *await thread(blocking),
    ]


def _few(what: str, ids: Collection[str]) -> Differences:
    return [f"{len(ids)} {what}, such as {', '.join(sorted(ids)[:3])}"] if ids else []
