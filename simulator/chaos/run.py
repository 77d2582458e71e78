"""A run of chaos: two shops sell while faults happen; then the faults end, everything becomes
quiet, and the conservation of every delivery is proved."""

import asyncio
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from simulator.chaos.conservation import prove
from simulator.chaos.faults import Chaos, Done
from simulator.chaos.healthy import until_healthy
from simulator.chaos.installation import Installation
from simulator.chaos.plan import Fault, Kind, Pair, plans
from simulator.chaos.quiet import Stuck, quiet
from simulator.chaos.report import print_done, print_report, print_start
from simulator.chaos.swap import log_away
from simulator.chaos.traffic import ShopTraffic
from simulator.chaos.watch import Watch
from simulator.proof.sums import Differences
from simulator.proof.verify import Check

BYTES_PER_DELIVERY = 40_000
"""Of a disk, with log, store and their WAL files: about 10 kB are used."""
LEAST_DISK_MB = 192


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    minutes: float = 2.0
    seeds: tuple[int, ...] = (1,)
    pair: Pair = Pair.SQLITE
    rate: float = 30.0
    """Deliveries a second, of both shops together."""
    patience_s: float = 240.0
    """Without progress for so long, the wait for quiet is given up."""


async def chaos(options: Options, folder: Path, console: Console) -> int:
    """One run in `folder`, which is empty; 0 where everything is proved, 1 where something is not.

    Raises Missing where Kafka or PostgreSQL cannot be started.
    """
    seconds = options.minutes * 60
    faults = plans(options.seeds, seconds, options.pair)
    disk_mb = max(LEAST_DISK_MB, round(seconds * options.rate * BYTES_PER_DELIVERY) >> 20)
    async with Installation(folder, options.pair, options.seeds[0], disk_mb) as there:
        print_start(console, options, there, faults)
        there.launch()
        there.keep()
        await until_healthy(there, options.patience_s)
        traffic = [
            ShopTraffic(there, shop, options.seeds[0] * 2 + number, options.rate / len(there.shops))
            for number, shop in enumerate(there.shops)
        ]
        works = Chaos(there, lambda done: print_done(console, done))
        stuck: list[str] = []
        swapped: Differences = []
        code = 0
        async with Watch(there) as watch:
            try:
                await works.run(faults)
                await asyncio.sleep(max(0.0, works.began_s + seconds - time.monotonic()))
                if options.pair is Pair.SQLITE:
                    began_s = time.monotonic() - works.began_s
                    for_s, swapped = await log_away(there, traffic)
                    fault = Fault(began_s, Kind.SWAP, "log", for_s, "away")
                    print_done(console, Done(fault, began_s, began_s + for_s, ""))
                await asyncio.gather(*(one.end() for one in traffic))
                await quiet(there, options.patience_s)
                await there.let_end()
                code = await there.stop()
            except Stuck as error:
                stuck.append(str(error))
            finally:
                for one in traffic:
                    await one.give_up()
        await there.let_end()
        await there.kill()
        checks = [
            Check("quiet after the last fault", 1, stuck),
            Check("nothing acknowledged without the log's file", 1, swapped),
            Check("serve ends in order", 1, [f"exit code {code}"] if code else []),
            *await prove(
                there,
                traffic,
                there.graph.account.summary(events=True),
                watch.answers,
                asyncio.to_thread,
            ),
        ]
        print_report(console, options, there, traffic, watch, checks)
        failed = any(check.differences for check in checks)
        if failed and there.disk.mounted:  # its small disk goes with the run
            await asyncio.to_thread(shutil.copytree, there.data, folder / "kept")
        return int(failed)
