"""Keeps beside the positions which topic they are of: one that was deleted and made again begins
its offsets anew, and what lies before an old position was never read."""

from collections.abc import Collection
from typing import Final, NamedTuple

from stream.log.contract import TopicReplaced
from stream.store.contract import Entities, Store, Transaction


class ReadTopicRow(NamedTuple):
    """Columns of `read_topic`."""

    processor: str
    topic: str
    identity: str
    """`Log.identity` of the topic that the processor's positions are of."""


READ_TOPICS: Final = Entities("read_topic", ReadTopicRow, 2)


def check(
    store: Store, processor: str, topic: str, identity: str, positions: Collection[int]
) -> None:
    """Note the topic that a processor is about to read. `positions`: partitions of which it has
    one. Raises TopicReplaced, StoreError."""
    known = _known(store, topic).get(processor)
    if known == identity:
        return
    if known is not None and positions:
        raise TopicReplaced(topic)
    with store.begin() as transaction:
        _note(transaction, ReadTopicRow(processor, topic, identity))


def others(store: Store, topic: str, processors: Collection[str], identity: str) -> set[str]:
    """Which of `processors` have read another topic of this name."""
    known = _known(store, topic)
    return {each for each in processors if known.get(each, identity) != identity}


def begin_anew(
    transaction: Transaction, processor: str, topic: str, identity: str, partitions: Collection[int]
) -> None:
    """The processor reads this topic from now on; it has so many partitions."""
    for position in transaction.positions(processor):
        if position.topic == topic and position.partition not in partitions:
            transaction.execute(
                "DELETE FROM positions WHERE processor = :processor AND topic = :topic"
                " AND partition = :partition",
                processor=processor,
                topic=topic,
                partition=position.partition,
            )
    # Places in the topic before. A shop that was behind reads everything again with the others.
    transaction.execute(
        "DELETE FROM stopped_shop WHERE processor = :processor AND topic = :topic",
        processor=processor,
        topic=topic,
    )
    _note(transaction, ReadTopicRow(processor, topic, identity))


def _known(store: Store, topic: str) -> dict[str, str]:
    with store.snapshot() as snapshot:
        rows = snapshot.query(
            "SELECT processor, identity FROM read_topic WHERE topic = :topic", topic=topic
        )
    return {row.processor: row.identity for row in rows}


def _note(transaction: Transaction, row: ReadTopicRow) -> None:
    transaction.load(READ_TOPICS, [READ_TOPICS.key_of(row)])
    transaction.save(READ_TOPICS, [row])
