"""Runs one role in this process: `python -m orderwire.serve.role receive`. On Linux the supervisor
forks it instead (`orderwire/serve/start/forking.py`)."""

import orderwire.serve.start.without_rich  # noqa: F401 - before anything loads structlog

# isort: split
import argparse
import asyncio
import gc
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import closing
from multiprocessing import parent_process
from pathlib import Path

import structlog

from orderwire import logs
from orderwire.private_files import tighten
from orderwire.serve.reporting.heartbeat import Identity, report_failure
from orderwire.serve.shops.live_settings import LiveSettings
from orderwire.serve.upkeep.freed_memory import keep_giving_back
from orderwire.settings.program import ConfigurationError, Settings
from stream.store.contract import Incompatible
from stream.store.sql.plain import PlainStore

ROLES = ("receive", "process", "query")
ORPHANED_S = 0.5
"""How often a role looks whether its supervisor lives."""

log = structlog.get_logger()


def main(given: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT, by the arguments given, or those of the command line. Returns 0
    after an orderly end, 78 (EX_CONFIG) if a restart would not help, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m orderwire.serve.role")
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--restarts", type=int, default=0)
    parser.add_argument(
        "--supervisor",
        type=int,
        help="pid of the process that started this one: without it there is no point in going on",
    )
    parser.add_argument(
        "--metrics-folder", type=Path, help="where the roles of one `serve` give their metrics"
    )
    parser.add_argument(
        "--member", help="name in Kafka's groups, the same for every process that follows this one"
    )
    arguments = parser.parse_args(given)
    logs.configure(arguments.role)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there are settings to read again
    os.umask(0o077)  # files that hold bodies or secrets are their owner's only
    identity, settings = (
        Identity(
            arguments.role,
            arguments.restarts,
            metrics_folder=arguments.metrics_folder,
            member=arguments.member,
        ),
        None,
    )
    try:
        settings = Settings.load()
        tighten(settings)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(arguments.role, settings, identity, arguments.supervisor))
    except (ConfigurationError, Incompatible) as error:
        log.error("configuration", error=str(error))
        _report(settings, identity, str(error))
        return 78
    except KeyboardInterrupt:
        return 0
    except Exception as error:
        reason = type(error).__name__
        if _is_operational(error):
            reason = f"{reason}: {error}"
            log.error("role failed", error=reason)
        else:
            log.error("role failed", exc_info=error)
        _report(settings, identity, reason)
        return 1
    return 0


def _report(settings: Settings | None, identity: Identity, reason: str) -> None:
    """Record the reason of the end for `/v1/status`, if the store can be reached."""
    if settings is None:
        return
    try:
        with closing(PlainStore(settings.store_url.get_secret_value())) as store:
            report_failure(store, identity, reason)
    except Exception as error:
        log.warning("failure not reported in the store", error=type(error).__name__)


def _is_operational(error: Exception) -> bool:
    """Whether the error is ours and its message says what to do, so that no traceback is needed.
    Messages of other errors may quote what a stranger sent."""
    return isinstance(error, OSError) or type(error).__module__.startswith(
        ("stream.", "processors.", "query.")
    )


async def _run(role: str, settings: Settings, identity: Identity, supervisor: int | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    log.info("started", restarts=identity.restarts)
    live = LiveSettings(settings)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, live.ask)
    orphaned = None if supervisor is None else asyncio.create_task(_end_without(supervisor, stop))
    module = importlib.import_module(f"orderwire.serve.roles.{role}")
    settle_garbage_collector()
    beside = (
        asyncio.create_task(live.watch(), name="settings"),
        asyncio.create_task(keep_giving_back(), name="freed memory"),
    )
    try:
        await module.run(live, stop, identity)
    finally:
        for task in beside:
            task.cancel()
    if orphaned is not None:
        orphaned.cancel()
    log.info("stopped")


def settle_garbage_collector() -> None:
    """Freeze imported objects and raise the thresholds, once a process has imported everything.

    Scanning what imports left behind would stop everything for 70 ms at a time. A batch in work is
    tens of thousands of objects without cycles: a scan after every 700 took about 15 % of a fold's
    CPU (measured on a busy machine).
    """
    if parent_process() is None:  # Else the supervisor froze them, and shares their pages.
        gc.collect()
        gc.freeze()
    gc.set_threshold(50_000, 10, 10)


async def _end_without(supervisor: int, stop: asyncio.Event) -> None:
    """Set `stop` once the supervisor is gone without a signal (SIGKILL, out of memory): the next
    one needs our port and our partitions."""
    while os.getppid() == supervisor:  # noqa: ASYNC110 - nobody could set an event
        await asyncio.sleep(ORPHANED_S)
    log.warning("supervisor gone")
    stop.set()


def _loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    """uvloop if installed (docs/facts/streaming.md, "Event loop"), else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop  # type: ignore[no-any-return,unused-ignore]


if __name__ == "__main__":
    sys.exit(main())
