"""Counts durable deliveries by shop and topic in memory. Another task writes the counts to the
store, so a delivery causes no write."""

from typing import NamedTuple


class Tallied(NamedTuple):
    """Deliveries of a shop on a topic since the last look."""

    shop: str
    topic: str
    deliveries: int
    last_ms: int
    """When the newest came, Unix milliseconds."""


class Tally:
    """Bounded: shops are configured, and topics are labels of metrics, one of a few."""

    def __init__(self) -> None:
        self._counted: dict[tuple[str, str], tuple[int, int]] = {}
        self.last_ms: dict[tuple[str, str], int] = {}
        """By shop and topic, since this process started."""

    def add(self, shop: str, topic: str, at_ms: int) -> None:
        """One delivery is durable."""
        key = (shop, topic)
        self._counted[key] = (self._counted.get(key, (0, 0))[0] + 1, at_ms)
        self.last_ms[key] = at_ms

    def take(self) -> list[Tallied]:
        """What came since the last time."""
        counted, self._counted = self._counted, {}
        return [Tallied(*key, *value) for key, value in counted.items()]

    def give_back(self, counted: list[Tallied]) -> None:
        """They could not be written down: `take` has them again."""
        for each in counted:
            count, last_ms = self._counted.get((each.shop, each.topic), (0, 0))
            self._counted[each.shop, each.topic] = (
                count + each.deliveries,
                max(last_ms, each.last_ms),
            )
