"""The record type of the log: one delivery, its body byte for byte as it was signed."""

from collections.abc import Mapping

import msgspec

TOPICS = ("orders", "checkouts", "spend", "ads", "audits", "privacy", "parked")
"""Every topic (docs/architecture.md, "Topics and keys")."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One delivery. Records with the same `key` stay in order on one partition.

    Headers are our own; they describe the delivery and are not part of the signed body:

    | header | meaning |
    |---|---|
    | `source` | who sent it: `shopify`, `meta`, `backfill`, `spend`, `orderwire` |
    | `topic` | the sender's own topic name, for example `orders/create`, or `Order` of Events |
    | `shop` | domain of the shop whose secret signed it, for example `example.myshopify.com` |
    | `triggered_at` | `X-Shopify-Triggered-At`; breaks a tie between equal `updated_at` |
    | `event_id`, `api_version`, `test` | `X-Shopify-Event-Id`, `-API-Version`, `-Test`, if sent |
    | `origin` | `backfill`, `reconcile` or `refetch`, if orderwire asked Shopify for it |
    | `parked_reason` | on `parked`: why |
    | `parked_from` | on `parked`: `topic/partition/offset` or `receiver` |
    | `parked_topic`, `parked_id`, `parked_turn` | on `parked`: see `processors/engine/parking.py` |
    """

    topic: str
    key: str
    id: str
    """The delivery's id, the same on its retries: Shopify's webhook id, or a digest of the body."""
    time_ms: int
    """When we received it, Unix milliseconds."""
    headers: Mapping[str, str]
    body: bytes


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A record at its place in the log. Offsets of a partition ascend; they may have gaps
    (Kafka)."""

    record: Record
    partition: int
    offset: int

    @property
    def place(self) -> str:
        """`topic/partition/offset`: names this entry for ever."""
        return f"{self.record.topic}/{self.partition}/{self.offset}"
