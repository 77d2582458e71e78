"""Finds topics that are silent although the Admin API shows that there was something to deliver."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from ingest.shopify.admin.client import AdminClient
from ingest.shopify.admin.documents import document
from ingest.shopify.admin.records import rfc3339

GRACE_MS: Final = 15 * 60_000
"""A delivery may be late, and a failed one is tried again within minutes."""
SETTLED_MS: Final = 5 * 60_000
LOOK_BACK_MS: Final = 24 * 3_600_000


RETIRED_MS: Final = 48 * 3_600_000
"""A topic that has not come for so long counts as switched off, if another one reports the same."""


class Sign(NamedTuple):
    """What the Admin API shows, and the topics each of which reports it for certain."""

    what: str
    key: str
    field: str
    topics: tuple[str, ...]


SIGNS: Final = (
    Sign("an order", "created", "createdAt", ("orders/create", "Order")),
    Sign("a change of an order", "updated", "updatedAt", ("orders/updated",)),
    Sign("a checkout", "checkouts", "createdAt", ("checkouts/create",)),
)


class Silent(NamedTuple):
    """Topics that should have delivered something and did not."""

    topics: tuple[str, ...]
    what: str
    at: str
    """When it happened, RFC 3339."""
    last_ms: int | None
    """When one of the topics last came; None for never."""


def newest(client: AdminClient, now_ms: int) -> dict[str, str]:
    """When the newest of each sign happened that is old enough to have been delivered, RFC 3339.

    Raises AdminError.
    """
    since, until = rfc3339(now_ms - LOOK_BACK_MS), rfc3339(now_ms - GRACE_MS)
    data = client.query(
        document("newest"),
        {
            "created": f"created_at:>='{since}' AND created_at:<'{until}'",
            "updated": f"updated_at:>='{since}' AND updated_at:<'{until}'",
        },
    )
    return {sign.key: at for sign in SIGNS if (at := _newest(data[sign.key]["nodes"], sign.field))}


def silent(
    happened: Mapping[str, str],
    last_ms: Mapping[str, int],
    expected: Collection[str],
    listening_since_ms: int,
) -> list[Silent]:
    """Signs that no topic delivered.

    `last_ms`: when each topic last came. `expected`: topics that are subscribed for certain; other
    topics count only if they ever came. Events from before `listening_since_ms` may have had no
    receiver.
    """
    found = []
    for sign in SIGNS:
        at = happened.get(sign.key)
        if at is None or _ms(at) < listening_since_ms:
            continue
        topics = tuple(
            topic
            for topic in _judged(sign, last_ms, expected, _ms(at))
            if last_ms.get(topic, 0) < _ms(at)
        )
        if topics:
            last = max((last_ms[topic] for topic in topics if topic in last_ms), default=None)
            found.append(Silent(topics, sign.what, at, last))
    return found


def _judged(
    sign: Sign, last_ms: Mapping[str, int], expected: Collection[str], at_ms: int
) -> list[str]:
    """Topics that have to report a sign: those subscribed, those that came lately, else those that
    ever came; the first of them where no topic of the shop ever came."""
    lately = [
        topic
        for topic in sign.topics
        if topic in expected or last_ms.get(topic, 0) >= at_ms - RETIRED_MS
    ]
    ever = [topic for topic in sign.topics if topic in last_ms]
    return lately or ever or ([] if last_ms else [sign.topics[0]])


def _newest(nodes: Sequence[Mapping[str, str]], field: str) -> str:
    """Of changes only those well after the order was made: what happens with its making is reported
    by other topics, and need not be a delivery of its own."""
    times = [
        node[field]
        for node in nodes
        if field == "createdAt" or _ms(node[field]) > _ms(node["createdAt"]) + SETTLED_MS
    ]
    return times[0] if times else ""


def _ms(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp() * 1000)
