"""The receiver on Kafka against a bare aiohttp handler, as in `bench.receiving.receiver`, with a
real broker (one node, `acks=all`) on the core of the load.
Run: `python -m bench.receiving.receiver_kafka`"""

import asyncio
import sys
import tempfile
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
from simulator.servers.broker import KafkaBroker
from stream.log.kafka.log import KafkaLog
from stream.log.spool import SpooledLog

WHAT = {BARE: "read body, 200", "kafka": "+ Kafka, acks=all", "spooled": "+ a spool in front"}


async def _serve(kind: str, bootstrap: str, folder: Path) -> None:
    if kind == BARE:
        await serve(bare_handler())
        return
    log: KafkaLog | SpooledLog = await KafkaLog.open(bootstrap)
    if kind == "spooled":
        log = await SpooledLog.open(log, folder / "spool.db")
    await serve(receiver_on(log))
    await log.close()


def main() -> None:
    """The comparison, or one of its servers."""
    parser = arguments(__doc__, list(WHAT))
    parser.add_argument("--bootstrap", help="host:port of a broker; without it one is started")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        if options.serve:
            pin(SERVER_CORE)
            runner.run(_serve(options.serve, options.bootstrap, options.folder))
            return
        pin(LOAD_CORE)  # the broker inherits it
        with KafkaBroker(options.bootstrap) as broker, tempfile.TemporaryDirectory() as temporary:
            folder = options.folder or Path(temporary)
            print(heading(options, folder))
            commands = {
                kind: (
                    *(sys.executable, "-m", "bench.receiving.receiver_kafka"),
                    "--serve",
                    kind,
                    "--bootstrap",
                    broker.bootstrap,
                    "--folder",
                    str(folder),
                )
                for kind in WHAT
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
