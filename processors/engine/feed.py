"""The name of a processor together with its topic."""

from typing import NamedTuple

from stream.store.contract import Position


class Feed(NamedTuple):
    """A processor and the topic it reads."""

    processor: str
    topic: str


def feed_of(position: Position) -> Feed:
    """The feed whose position this is."""
    return Feed(position.processor, position.topic)
