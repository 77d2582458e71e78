"""Which alarms' conditions hold, by the samples of now and, for counters, of a while ago."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from orderwire.alarms.alarm import Alarm
from orderwire.alarms.samples import Sample
from orderwire.alarms.table import ALARMS

Series = tuple[str, tuple[tuple[str, str], ...]]


class AlarmSubject(NamedTuple):
    """An alarm, and what it is about."""

    alarm: str
    about: tuple[tuple[str, str], ...]

    @property
    def shop(self) -> str:
        """The shop that it is about; "" if it is about none."""
        return dict(self.about).get("shop", "")


class Conditions:
    """Remembers counters for as long as an alarm looks back. One per process."""

    def __init__(self, alarms: tuple[Alarm, ...] = ALARMS) -> None:
        self._alarms = alarms
        self._keep_s = max((alarm.window_s for alarm in alarms), default=0)
        self._past: deque[tuple[float, dict[Series, float]]] = deque()

    def look(self, samples: Iterable[Sample], now_s: float) -> dict[AlarmSubject, float]:
        """Every condition that holds, with the value that it holds for. `now_s` is monotonic."""
        now = {(each.series, each.labels): each.value for each in samples}
        if not self._past:
            # What was counted before the first look is nobody's news.
            self._past.append((now_s, now))
        found: dict[AlarmSubject, float] = {}
        for alarm in self._alarms:
            for about, value in self._values(alarm, now, now_s).items():
                holds = value > alarm.above if alarm.below is None else value < alarm.below
                if holds:
                    found[AlarmSubject(alarm.name, about)] = value
        self._past.append((now_s, now))
        while self._past[1][0] < now_s - self._keep_s:
            self._past.popleft()
        return found

    def _values(
        self, alarm: Alarm, now: Mapping[Series, float], now_s: float
    ) -> dict[tuple[tuple[str, str], ...], float]:
        if alarm.metric.kind != "counter":
            worst = max if alarm.below is None else min
            values: dict[tuple[tuple[str, str], ...], float] = {}
            for about, value in _matching(alarm, now):
                values[about] = worst(value, values.get(about, value))
            return values
        before = self._before(now_s - alarm.window_s)
        return _added(alarm, now, before)

    def _before(self, at_s: float) -> Mapping[Series, float]:
        """The oldest samples since then."""
        return next((seen for seen_s, seen in self._past if seen_s >= at_s), self._past[-1][1])


def _matching(
    alarm: Alarm, samples: Mapping[Series, float]
) -> Iterable[tuple[tuple[tuple[str, str], ...], float]]:
    for (series, labels), value in samples.items():
        if series != alarm.metric.series[0]:
            continue
        named = dict(labels)
        if all(named.get(label) in values for label, values in alarm.where.items()) and all(
            named.get(label) != value_ for label, value_ in alarm.without.items()
        ):
            yield tuple((label, named.get(label, "")) for label in alarm.about), value


def _added(
    alarm: Alarm, now: Mapping[Series, float], before: Mapping[Series, float]
) -> dict[tuple[tuple[str, str], ...], float]:
    """What was counted since: a series that is new began at 0, one that shrank began anew."""
    grown = {
        series: value - past if (past := before.get(series, 0.0)) <= value else value
        for series, value in now.items()
    }
    found: dict[tuple[tuple[str, str], ...], float] = {}
    for about, value in _matching(alarm, grown):
        found[about] = found.get(about, 0.0) + value
    return found
