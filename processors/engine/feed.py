"""What an answer rests on: a processor and the topic that it reads."""

from typing import NamedTuple


class Feed(NamedTuple):
    """A processor and the topic it reads."""

    processor: str
    topic: str
