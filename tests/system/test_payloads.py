"""Example payloads posted to a running serve, under their own topics and under wrong ones.

Each has to be folded, ignored by policy or parked with a reason; none is answered 5xx, and none
ends a process. Hostile ones have placeholders for values, so most of them must be parked.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from orderwire.serve.feeds import running
from orderwire.serve.registry import PROCESSORS
from processors.engine.parking import PARKED
from processors.orders.row import ORDERS
from processors.shopify.tolerance import Rejected
from simulator.shop.delivery import Delivery
from stream.record import Entry
from tests.support.shopify import golden
from tests.system.checks import (
    assert_aggregates_are_sums,
    assert_in_log,
    assert_is_a_fold_of,
    entity_rows,
    whole,
)
from tests.system.harness import System
from tests.system.serve_process import needs_proc
from tests.system.traffic import Sent

pytestmark = needs_proc

WRONG = (
    "orders/create",
    "orders/delete",
    "refunds/create",
    "checkouts/update",
    "checkouts/delete",
    "carts/update",
    "customers/merge",
)
REASON = re.compile(r"[a-z][a-z_]*(:[a-z_,]+)?")
FATES = {
    "folded": "carts/create carts/update checkouts/create checkouts/delete checkouts/update "
    "customers/merge orders/cancelled orders/create orders/delete orders/fulfilled "
    "orders/link_requested orders/paid orders/updated refunds/create",
    "ignored": "orders/edited",
    "privacy": "app/uninstalled customers/data_request customers/redact shop/redact",
    "parked": "app/scopes_update bulk_operations/finish customers/create "
    "customers/purchasing_summary customers/update disputes/create "
    "order_transactions/create returns/approve tender_transactions/create",
}
"""What becomes of a well-formed payload of each topic."""


def fates(system: System, entries: Sequence[Entry], parked: dict[str, str]) -> dict[str, set[str]]:
    """Delivery id -> what became of it: folded, ignored, privacy, or parked for a reason that is
    told."""
    processors = [PROCESSORS[name](system.settings) for name in running(system.settings)]
    found: dict[str, set[str]] = {}
    for entry in entries:
        record = entry.record
        fate = found.setdefault(record.id, set())
        if record.topic == "privacy":
            fate.add("privacy")
        elif record.topic == "parked":
            fate.add("parked")
            place = record.headers.get("parked_id") or f"{record.headers['topic']}:{record.id}"
            assert REASON.fullmatch(parked[place]), parked[place]
        for processor in processors:
            if (
                processor.topic != record.topic
                or record.topic in ("parked", "privacy")
                or processor.name == "capi"
            ):
                continue
            reason = ""
            try:
                fate.add("ignored" if processor.decode(entry) is None else "folded")
            except Rejected as rejected:
                reason = rejected.reason
            assert not reason or parked[entry.place] == reason
    return found


async def send_all(system: System, deliveries: list[Delivery]) -> tuple[Sent, dict[str, set[str]]]:
    """Send, settle, check what is true of any traffic; what became of each delivery."""
    await system.start()
    sent = await system.send(deliveries, connections=2)
    assert set(sent.traffic.statuses) == {200}, sent.traffic.unexpected
    await system.settled()
    async with system.log() as log:
        entries = await whole(log)
    assert_in_log(entries, deliveries)
    with system.store() as store:
        assert_is_a_fold_of(store, entries, system.settings, system.folder / "refolded.db")
        assert_aggregates_are_sums(store)
        parked = {row.id: row.reason for row in entity_rows(store, PARKED)}
    found = fates(system, entries, parked)
    assert await system.stop() == 0
    assert "could not be folded" not in system.output()
    assert "processor stopped" not in system.output()
    assert "starting it again" not in system.output()
    assert "Traceback" not in system.output()
    assert found.keys() == {delivery.webhook_id for delivery in deliveries}
    assert all(found.values())
    return sent, found


def not_carried_out(example: golden.Payload) -> bool:
    """Whether it is a merge that failed: that one merges nobody."""
    if example.topic != "customers/merge":
        return False
    return bool(json.loads(example.body).get("status") != "completed")


async def test_each_well_formed_payload_is_folded_ignored_or_parked_as_the_policy_says(
    tmp_path: Path,
) -> None:
    examples = golden.payloads()
    async with System(tmp_path) as system:
        _, found = await send_all(
            system, [system.delivery(each.topic, each.body, each.name) for each in examples]
        )
        expected = {topic: {fate} for fate, topics in FATES.items() for topic in topics.split()}
        assert {
            name: fate & {"folded", "parked", "privacy"} or fate for name, fate in found.items()
        } == {
            each.name: {"ignored"} if not_carried_out(each) else expected[each.topic]
            for each in examples
        }
        with system.store() as store:
            stored = {row.order_id for row in entity_rows(store, ORDERS)}
        assert stored >= {
            gid.rpartition("/")[2]
            for each in examples
            if each.topic == "orders/paid"
            for gid in [json.loads(each.body)["admin_graphql_api_id"]]
        }


async def test_each_hostile_payload_is_taken_and_none_is_lost(tmp_path: Path) -> None:
    examples = golden.hostile_payloads()
    async with System(tmp_path) as system:
        _, found = await send_all(
            system, [system.delivery(each.topic, each.body, each.name) for each in examples]
        )
        assert len(found) == len(examples)


async def test_any_payload_under_any_topic_is_taken_and_none_is_lost(tmp_path: Path) -> None:
    async with System(tmp_path) as system:
        crossed = [
            system.delivery(topic, each.body, f"{topic} {each.name}")
            for each in golden.every_payload()
            for topic in WRONG
        ]
        _, found = await send_all(system, crossed)
        assert Counter(fate for fates in found.values() for fate in fates)["parked"] > 0
