"""What a program that counts orders per customer is given, and the one line with which it ends.

It runs in the peers' environment as well, so it imports nothing of orderwire.
"""

import argparse
import resource
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any

import orjson

STEP = 200
"""Events between two lines of progress."""
SILENT_S = 8.0
"""Without an event for so long the topic is read to its end, where nobody knows how many remain: a
program that was killed goes on from where it had committed."""
FIRST_S = 90.0
"""How long the first event may take: a group waits for the session of a member that was killed."""
LIMIT_S = 240.0
"""When a program ends that has not counted all events, and says how many it has."""


def arguments() -> argparse.Namespace:
    """Where the events are, and where the counts go."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--database", required=True, help="postgresql://…, or sqlite:///…")
    parser.add_argument("--folder", required=True)
    parser.add_argument("--kind", default="")
    parser.add_argument(
        "--until", type=int, default=0, help="how many events there are; 0: until silence"
    )
    return parser.parse_args()


def order_of(value: bytes) -> tuple[str, int]:
    """Customer, and the order's total in minor units."""
    order: dict[str, Any] = orjson.loads(value)
    whole, _, cents = order["total_price"].partition(".")
    return str(order["customer"]["id"]), int(whole) * 100 + int(cents)


class Meter:
    """Counts the events, and knows when the topic has been read to its end."""

    def __init__(self, until: int) -> None:
        """`until`: events that there are; 0 where that is not known."""
        self.events = self._first = self.calls = 0
        self._until = until
        self._made_s = self._began_s = self._last_s = time.perf_counter()
        self._cpu_s = self._last_cpu_s = 0.0
        self._told = 0
        self._lock = threading.Lock()

    def saw(self, events: int = 1) -> None:
        """Called after each event, or each batch, has been counted."""
        with self._lock:
            if not self.events:
                self._first = events
                self._began_s, self._cpu_s = time.perf_counter(), time.process_time()
            self.events += events
            self.calls += 1
            self._last_s, self._last_cpu_s = time.perf_counter(), time.process_time()
            if self.events - self._told >= STEP:
                self._told = self.events
                _say(str(self.events))

    @property
    def over(self) -> bool:
        """Whether this program has counted all events, or shall not wait for more."""
        return self.over_with(self.events)

    def over_with(self, events: int) -> bool:
        """The same where `events` have been counted, by this process or by others."""
        now_s = time.perf_counter()
        if self._until:
            return events >= self._until or now_s - self._made_s > LIMIT_S
        return now_s - self._last_s > (SILENT_S if self.events else FIRST_S)

    def finish(self, counts: Iterable[tuple[int, int]]) -> None:
        """Print what was counted, (orders, revenue) per customer, and what it cost."""
        rows = list(counts)
        took_s = max(self._last_s - self._began_s, 1e-9)
        after = max(self.events - self._first, 1)  # when the first ones began is not known
        answer = orjson.dumps(
            {
                "customers": len(rows),
                "orders": sum(orders for orders, _ in rows),
                "revenue": sum(revenue for _, revenue in rows),
                "events": self.events,
                "batches": self.calls,
                "per_s": after / took_s,
                "cpu_us": 1e6 * (self._last_cpu_s - self._cpu_s) / after,
                "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
            }
        )
        _say(f"\n{answer.decode()}")  # a framework's own line may be unfinished


def _say(line: str) -> None:
    print(line, file=sys.__stdout__, flush=True)  # faust sends what is printed to its log
