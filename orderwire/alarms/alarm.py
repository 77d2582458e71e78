"""One alarm: a condition on one metric that holds for some time. It is evaluated here, and written
as PromQL for Prometheus."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stream.metric_names import MetricName

PLACES = ("role", "instance")
"""Labels that say which process counted: an alarm is one, whichever reports it."""
SUBJECTS = ("shop", "destination", "kind", "account", "processor", "part", "job", "file")
"""Labels that say what an alarm is about."""

Severity = Literal["critical", "warning"]
Of = Literal["shop", "installation"]
"""Whose condition an alarm reports. One of a shop names the shop, so its metric has that label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Fires when the metric is above `above` (below `below`, where that is given) for `for_s`.

    Of a counter it is what was added within `window_s`.
    """

    name: str
    metric: MetricName
    of: Of
    where: Mapping[str, tuple[str, ...]]
    """Labels and the values that they may have."""
    without: Mapping[str, str]
    """Labels and a value that they must not have."""
    above: float
    below: float | None
    window_s: int
    for_s: int
    severity: Severity
    meaning: str
    do: str

    @property
    def about(self) -> tuple[str, ...]:
        """The labels that distinguish one firing from another."""
        return tuple(each for each in SUBJECTS if each in self.metric.labels)

    @property
    def expression(self) -> str:
        """As PromQL. A counter that begins above 0 has no increase yet, hence the second half."""
        by = f" by ({', '.join(self.about)})" if self.about else ""
        if self.metric.kind != "counter":
            if self.below is not None:
                return f"min{by} ({self._series(self.metric)}) < {self.below:g}"
            return f"max{by} ({self._series(self.metric)}) > {self.above:g}"
        window = _duration(self.window_s)
        series = self._series(self.metric)
        added = f"sum{by} (increase({series}[{window}]))"
        begun = f"sum{by} ({series} unless {series} offset {window})"
        return f"{added} > {self.above:g} or {begun} > {self.above:g}"

    @property
    def condition(self) -> str:
        """For people, with how long it must hold."""
        lasting = f" for {_words(self.for_s)}" if self.for_s >= 60 else ""
        series = f"`{self._series(self.metric)}`"
        if self.metric.kind != "counter":
            sign = f"< {self.below:g}" if self.below is not None else f"> {self.above:g}"
            return f"{series} {sign}{lasting}"
        more = f" by more than {self.above:g}" if self.above else ""
        return f"{series} grows{more} within {_words(self.window_s)}{lasting}"

    def _series(self, metric: MetricName) -> str:
        matchers = [
            f'{label}="{values[0]}"' if len(values) == 1 else f'{label}=~"{"|".join(values)}"'
            for label, values in self.where.items()
        ]
        matchers += [f'{label}!="{value}"' for label, value in self.without.items()]
        return metric.series[0] + (f"{{{','.join(matchers)}}}" if matchers else "")


def alarm(
    name: str,
    metric: MetricName,
    meaning: str,
    do: str,
    *,
    of: Of,
    where: Mapping[str, tuple[str, ...]] | None = None,
    without: Mapping[str, str] | None = None,
    above: float = 0.0,
    below: float | None = None,
    window_s: int = 300,
    for_s: int = 0,
    severity: Severity = "warning",
) -> Alarm:
    """An alarm that fires above 0 immediately, unless more is said."""
    return Alarm(
        name=name,
        metric=metric,
        of=of,
        where=where or {},
        without=without or {},
        above=above,
        below=below,
        window_s=window_s,
        for_s=for_s,
        severity=severity,
        meaning=meaning,
        do=do,
    )


def plain(text: str) -> str:
    """A text of the table without its Markdown."""
    return re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", text).replace("`", "")


def _duration(seconds: int) -> str:
    """As Prometheus writes it."""
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _words(seconds: int) -> str:
    for unit, length in (("hour", 3600), ("minute", 60)):
        if seconds % length == 0:
            count = seconds // length
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds} seconds"
