"""Which faults happen when: drawn from a seed, the same for the same seed, minutes and pair."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

GAP_S = (1.0, 5.0)
"""Between the beginnings of two faults, uniform."""
DAY_S = 86_400


class Pair(StrEnum):
    """Log and store."""

    SQLITE = "sqlite"
    KAFKA = "kafka"
    """With PostgreSQL as the store."""


class Kind(StrEnum):
    """What is done."""

    KILL = "kill"
    STOP = "stop"
    FILL = "fill"
    CUT = "cut"
    STEP = "step"
    SWAP = "swap"
    """The log's file is renamed, and comes back; a topic is deleted and made again."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A fault that may be drawn."""

    kind: Kind
    target: str
    weight: float
    for_s: tuple[float, float]
    """How long until it is undone, uniform."""
    how: tuple[str, ...] = ("",)
    """One of these is drawn."""
    pairs: tuple[Pair, ...] = (Pair.SQLITE, Pair.KAFKA)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a run."""

    at_s: float
    """Since the first delivery."""
    kind: Kind
    target: str
    for_s: float
    how: str = ""

    @property
    def name(self) -> str:
        """In words, for the report."""
        return " ".join(part for part in (self.kind, self.target, self.how) if part)


_KAFKA = (Pair.KAFKA,)
_LINE = ("refused", "stalled", "once")
CHOICES = (
    Choice(Kind.KILL, "receive", 2, (0, 0)),
    Choice(Kind.KILL, "process", 3, (0, 0)),
    Choice(Kind.KILL, "query", 1, (0, 0)),
    Choice(Kind.KILL, "supervisor", 1, (0, 2)),
    Choice(Kind.KILL, "everything", 1, (0, 2)),
    Choice(Kind.STOP, "receive", 1, (0.2, 4)),
    Choice(Kind.STOP, "process", 2, (0.5, 12)),
    Choice(Kind.STOP, "query", 0.5, (0.5, 6)),
    Choice(Kind.FILL, "disk", 1.5, (0.5, 8)),
    Choice(Kind.CUT, "graph", 2, (0.5, 8), _LINE),
    Choice(Kind.STEP, "clock", 2, (1, 20), ("forward", "back")),
    Choice(Kind.KILL, "broker", 1, (0, 6), pairs=_KAFKA),
    Choice(Kind.KILL, "database", 1, (0, 4), pairs=_KAFKA),
    Choice(Kind.CUT, "kafka", 2, (0.5, 10), _LINE, _KAFKA),
    Choice(Kind.CUT, "database", 2, (0.5, 8), _LINE, _KAFKA),
)


SWAPS = {
    Pair.SQLITE: Choice(Kind.SWAP, "log", 1, (0.5, 5), pairs=(Pair.SQLITE,)),
    Pair.KAFKA: Choice(Kind.SWAP, "topic", 1, (0, 3), pairs=_KAFKA),
}
SWAP_GAP_S = (10.0, 40.0)
"""Between the beginnings of two swaps, uniform. They are drawn by themselves: the other faults of a
seed are those of before there were swaps."""


def plan(seed: int, seconds: float, pair: Pair) -> list[Fault]:
    """Faults that begin within `seconds`, in order."""
    faults = [*_drawn(seed, seconds, pair), *_swaps(seed, seconds, pair)]
    return sorted(faults, key=lambda fault: fault.at_s)


def plans(seeds: Sequence[int], seconds: float, pair: Pair) -> list[Fault]:
    """The faults of each seed, one after the other, each in its share of the time."""
    share_s = seconds / len(seeds)
    return [
        replace(fault, at_s=fault.at_s + number * share_s)
        for number, seed in enumerate(seeds)
        for fault in plan(seed, share_s, pair)
    ]


def _swaps(seed: int, seconds: float, pair: Pair) -> Iterator[Fault]:
    random, swap = Random((seed << 8) ^ 0x5), SWAPS[pair]
    at_s = random.uniform(*SWAP_GAP_S)
    while at_s < seconds:
        yield Fault(at_s, swap.kind, swap.target, random.uniform(*swap.for_s))
        at_s += random.uniform(*SWAP_GAP_S)


def _drawn(seed: int, seconds: float, pair: Pair) -> list[Fault]:
    random = Random((seed << 8) ^ 0x7)
    choices = [choice for choice in CHOICES if pair in choice.pairs]
    weights = [choice.weight for choice in choices]
    faults: list[Fault] = []
    at_s = random.uniform(*GAP_S)
    while at_s < seconds:
        choice = random.choices(choices, weights)[0]
        how = random.choice(choice.how)
        if choice.kind is Kind.STEP:
            how = _step(random, how)
        faults.append(Fault(at_s, choice.kind, choice.target, random.uniform(*choice.for_s), how))
        at_s += random.uniform(*GAP_S)
    return faults


def _step(random: Random, direction: str) -> str:
    """Seconds that the clock is off, up to two days, small steps as often as large ones."""
    seconds = round(random.choice((5, 120, 3_600, DAY_S)) * random.uniform(0.5, 2))
    return f"{seconds if direction == 'forward' else -seconds:+d} s"
