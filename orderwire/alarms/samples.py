"""Reads the samples that alarms look at from Prometheus text, and no others."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from orderwire.alarms.table import ALARMS

_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r'\\(["\\n])')
WANTED = frozenset(alarm.metric.series[0] for alarm in ALARMS)


class Sample(NamedTuple):
    """One series and its value."""

    series: str
    labels: tuple[tuple[str, str], ...]
    value: float


def samples(texts: Iterable[bytes]) -> list[Sample]:
    """In order of the texts."""
    found = []
    for text in texts:
        for line in text.decode().splitlines():
            series, _, rest = line.partition("{")
            if series not in WANTED:
                continue
            written, _, value = rest.rpartition("} ")
            labels = tuple((name, _plain(each)) for name, each in _LABEL.findall(written))
            found.append(Sample(series, labels, float(value)))
    return found


def _plain(value: str) -> str:
    return _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], value)
