"""The receiver on the embedded log against a bare aiohttp handler, in one run: `python -m
bench.receiving.receiver`.

Load, rounds and ratios: `bench/receiving/_against_bare.py`. The bar: docs/architecture.md,
"Numbers to hold".
"""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.receiving._against_bare import (
    BARE,
    arguments,
    bare_handler,
    compare,
    heading,
    receiver_on,
    report,
    serve,
)
from bench.receiving._cores import LOAD_CORE, SERVER_CORE, loop_factory, pin
from stream.log.sqlite.log import SqliteLog
from stream.record import Record

WHAT = {BARE: "read body, 200", "verify": "+ HMAC + decode", "sqlite": "+ SQLite log, durable"}


class _Nowhere:
    """A log that keeps nothing: what is left is the receiver's own work."""

    async def append(self, records: Sequence[Record]) -> None:
        return None


async def _serve(kind: str, folder: Path) -> None:
    if kind == BARE:
        await serve(bare_handler())
    elif kind == "verify":
        await serve(receiver_on(_Nowhere()))
    else:
        log = await SqliteLog.open(folder / "log.db")
        await serve(receiver_on(log))
        await log.close()


def main() -> None:
    """The comparison, or one of its servers."""
    parser = arguments(__doc__, list(WHAT))
    parser.add_argument("--servers", nargs="*", choices=WHAT, default=list(WHAT))
    options = parser.parse_args()
    with (
        asyncio.Runner(loop_factory=loop_factory()) as runner,
        tempfile.TemporaryDirectory() as temporary,
    ):
        folder = options.folder or Path(temporary)
        if options.serve:
            pin(SERVER_CORE)
            runner.run(_serve(options.serve, folder))
            return
        pin(LOAD_CORE)
        print(heading(options, folder))
        commands = {
            kind: (
                sys.executable,
                "-m",
                "bench.receiving.receiver",
                "--serve",
                kind,
                "--folder",
                str(folder),
            )
            for kind in options.servers
        }
        report(
            WHAT,
            runner.run(
                compare(
                    commands,
                    seconds=options.seconds,
                    rounds=options.rounds,
                    connections=options.connections,
                )
            ),
        )


if __name__ == "__main__":
    main()
