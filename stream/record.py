"""What the log carries: one delivery, its body byte for byte as it was signed.

A `Record` is what a sender of records hands to `Log.append`; an `Entry` is that record where the log keeps it.
Headers are our own, few and lower case; they describe the delivery and are not part of what the sender signed:

| header | meaning |
|---|---|
| `source` | who sent it: `shopify`, `meta`, `backfill`, `spend`, `orderwire` |
| `topic` | the sender's own topic name, for example `orders/create` |
| `shop` | shop domain that the delivery's secret belongs to, for example `example.myshopify.com` |
| `triggered_at` | Shopify's `X-Shopify-Triggered-At` as sent; only ever breaks a tie between equal `updated_at` |
| `event_id`, `api_version`, `test` | `X-Shopify-Event-Id`, `-API-Version` and `-Test`, where sent |

A record on the topic `parked` has two more: `parked_reason` and `parked_from` (`topic/partition/offset`, or `receiver`),
and where a processor parked it or it was replayed `parked_topic`, `parked_id` and `parked_turn` (`processors/engine/parking.py`).
"""

from collections.abc import Mapping

import msgspec

TOPICS = ("orders", "checkouts", "spend", "ads", "audits", "privacy", "parked")
"""Every topic there is (DESIGN, 'Topics and keys')."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One delivery. Records with the same `key` stay in order on one partition."""

    topic: str
    key: str
    id: str
    """The delivery's id, the same on its retries: Shopify's webhook id, or a digest of the body where none was sent."""
    time_ms: int
    """When we received it, Unix milliseconds."""
    headers: Mapping[str, str]
    body: bytes


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A record where it stands in the log. Offsets of a partition ascend; they may have gaps (Kafka)."""

    record: Record
    partition: int
    offset: int

    @property
    def place(self) -> str:
        """`topic/partition/offset`: names this entry for ever."""
        return f"{self.record.topic}/{self.partition}/{self.offset}"
