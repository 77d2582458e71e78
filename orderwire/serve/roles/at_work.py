"""What the role `process` has at work now, and what of it has stopped: for its heartbeat and its
metrics."""

import asyncio
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

from orderwire.serve.isolation import Parts
from processors.engine.rebuild import Pending
from processors.engine.runner import Runner


class AtWork(Collector):
    """The parts of the present round, whose metrics begin anew with each, and those of all."""

    def __init__(self, always: Parts) -> None:
        """`always`: the parts that outlast a round."""
        self._always = always
        self.begin(Parts(asyncio.Event()))

    def begin(self, parts: Parts) -> None:
        """Another round."""
        self.registry, self.parts = CollectorRegistry(), parts
        self.runners: dict[str, Runner[Any]] = {}
        self.uncounted: frozenset[Pending] = frozenset()

    def show_uncounted(self, uncounted: frozenset[Pending]) -> None:
        """Shops that a projection does not count."""
        self.uncounted = uncounted

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        return iter(self.registry.collect())

    def stopped_parts(self) -> dict[str, str]:
        """Every part that does not run now, with its reason."""
        return {**self._always.stopped, **self.parts.stopped}

    def parts_by_state(self) -> dict[str, str | None]:
        """Every processor, and every part that does not run now with its reason."""
        return {**dict.fromkeys(self.runners), **self.stopped_parts()}

    def stopped_shops(self) -> set[tuple[str, str]]:
        """Part and shop, where a processor, a projection or its tick has failed for a shop."""
        found = {(each.name, each.shop) for each in self.uncounted}
        for name, runner in self.runners.items():
            found |= {(name, shop) for shop in runner.stopped_shops()}
            found |= {
                (f"tick {each.tick}", each.shop)
                for each in runner.failing_ticks()
                if each.shop is not None
            }
        return found

    def details(self) -> dict[str, Any]:
        """The details in this role's heartbeat."""
        stopped, runners = self.stopped_parts(), self.runners
        return {
            "stopped": {name: why for name, why in stopped.items() if name in runners},
            "parts": {name: why for name, why in stopped.items() if name not in runners},
            "ticks": [
                {"processor": name, **failing._asdict()}
                for name, runner in runners.items()
                for failing in runner.failing_ticks()
            ],
        }
