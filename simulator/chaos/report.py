"""What a run prints: what was begun, each fault as it is undone, and each proof."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from simulator.chaos.faults import Done
from simulator.chaos.installation import Installation
from simulator.chaos.plan import Fault
from simulator.chaos.traffic import ShopTraffic
from simulator.chaos.watch import Watch
from simulator.demo.screen import print_plain, result
from simulator.proof.verify import Check

if TYPE_CHECKING:
    from simulator.chaos.run import Options


def print_start(
    console: Console, options: "Options", there: Installation, faults: Sequence[Fault]
) -> None:
    """One line on what begins, and one where this machine cannot have a small disk."""
    seeds = " then ".join(map(str, options.seeds))
    print_plain(
        console,
        f"chaos on {options.pair} for {options.minutes:g} min, seed {seeds}: "
        f"{len(faults)} faults, two shops, {options.rate:g} deliveries/s, in {there.folder}",
    )
    if not there.disk.mounted:
        print_plain(
            console,
            "no right to mount a small disk here: 'fill' limits the size of files instead (EFBIG)",
        )


def print_report(
    console: Console,
    options: "Options",
    there: Installation,
    traffic: Iterable[ShopTraffic],
    watch: Watch,
    checks: Sequence[Check],
) -> None:
    """The answers that senders and readers got, and the proofs."""
    heard = Counter[int]()
    for one in traffic:
        heard.update(one.traffic.statuses)
    print_plain(console, f"senders heard {_counts(heard)} (0: no answer)")
    print_plain(console, f"readers of the API heard {_counts(watch.answers)}")
    for path, times in watch.failed.items():
        print_plain(console, f"500 of {path}, {times} times")
    if there.ended:
        print_plain(console, f"serve was started again after it ended by {_counts(there.ended)}")
    console.print(result(checks))
    wrong = sum(bool(check.differences) for check in checks)
    again = " ".join(f"--seed {seed}" for seed in options.seeds)
    outcome = f"{wrong} of {len(checks)} proofs failed" if wrong else "all proved"
    print_plain(
        console,
        f'{outcome}; the same again: make chaos ARGS="{again} '
        f'--minutes {options.minutes:g} --pair {options.pair} --rate {options.rate:g}"',
    )


def print_done(console: Console, done: Done) -> None:
    """A line of the timeline."""
    note = f"   ({done.note})" if done.note else ""
    print_plain(
        console,
        f"{done.began_s:7.1f} s to {done.ended_s:7.1f} s   {done.fault.name}{note}",
    )


def _counts(values: Iterable[int] | Counter[int]) -> str:
    return ", ".join(f"{times:,} x {value}" for value, times in sorted(Counter(values).items()))
