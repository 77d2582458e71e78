"""The name of a processor together with its topic."""

from typing import NamedTuple


class Feed(NamedTuple):
    """A processor and the topic it reads."""

    processor: str
    topic: str
