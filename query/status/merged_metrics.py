"""`/metrics` of the whole installation: this process's registry and the stored metrics of the other
roles, under labels `role` and `instance`."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector


class _Merged(Collector):
    """Each family once, as the exposition format requires, with the samples of every role."""

    def __init__(self, sources: Iterable[tuple[str, str, Iterable[Metric]]]) -> None:
        self._families: dict[str, Metric] = {}
        for role, instance, families in sources:
            for family in families:
                merged = self._families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for name, labels, value, *_ in family.samples:
                    merged.add_sample(name, {**labels, "role": role, "instance": instance}, value)

    def collect(self) -> Iterator[Metric]:
        yield from self._families.values()


def exposition(
    own: CollectorRegistry, own_instance: str, others: Iterable[tuple[str, str, str]]
) -> bytes:
    """Prometheus text; `others` are (role, instance, text)."""
    sources = [("query", own_instance, list(own.collect()))]
    sources += [
        (role, instance, list(text_string_to_metric_families(text)))
        for role, instance, text in others
    ]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Merged(sources))
    return generate_latest(registry)
