"""A role's heartbeat in the store: that it is alive, its errors. Only displays read it, so a
failing heartbeat never stops its role."""

import asyncio
import json
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import structlog

from stream.clock import wall_ms
from stream.store.contract import StoreError

EVERY_S = 2.0
FORGOTTEN_AFTER_MS = 3_600_000
REPORTED_FROM = 2
"""Failures in a row."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Identity:
    """Which process this is."""

    role: str
    restarts: int = 0
    """How often the supervisor has started this role again."""
    instance: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")
    started_ms: int = field(default_factory=wall_ms)
    metrics_folder: Path | None = None
    """Where the roles of one `serve` find each other's metrics; None without a supervisor."""
    member: str | None = None
    """The name in Kafka's groups, which the next process in this one's place has, too."""

    @property
    def failed_instance(self) -> str:
        """Of the row that says why this role last failed here; one per role and host."""
        return f"{socket.gethostname()} (failed)"


class HeartbeatStore(Protocol):
    """The part of a store that a heartbeat needs; any `stream.store.contract.Store` has it."""

    def begin(self) -> AbstractContextManager["Writing"]: ...


class Writing(Protocol):
    """The part of a transaction that a heartbeat needs."""

    def execute(self, sql: str, **parameters: Any) -> int: ...


class Heartbeat:
    """Writes the heartbeat until cancelled; after `gone` no more is written, not even by a thread
    that cancelling left behind."""

    def __init__(
        self,
        store: HeartbeatStore,
        identity: Identity,
        details: Callable[[], Mapping[str, Any]],
        every_s: float = EVERY_S,
        clock_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._store, self._identity, self._details = store, identity, details
        self._clock_ms = clock_ms
        self._turn = threading.Lock()
        self._gone = self._begun = False
        self.fault: str | None = None
        """Why it is not written, from the second failure in a row on."""
        self._every_s = every_s

    async def run(self) -> None:
        """Beat for ever. An unavailable store is logged once, at the second failure in a row: at a
        first start the receiver runs before the store exists."""
        failures = 0
        while True:
            try:
                await asyncio.to_thread(self._beat)
                if self.fault is not None:
                    log.info("heartbeat written again")
                failures, self.fault = 0, None
            except Exception as error:
                failures += 1
                if failures >= REPORTED_FROM:
                    # Of what is not in the store's contract only the type: a driver's message may
                    # quote what it was given.
                    reason = str(error) if isinstance(error, StoreError) else type(error).__name__
                    self.fault = reason
                    if failures == REPORTED_FROM:
                        log.warning("heartbeat not written", error=reason)
            await asyncio.sleep(self._every_s)

    def _beat(self) -> None:
        with self._turn:
            if not self._gone:
                self._write()

    def _write(self) -> None:
        now_ms = self._clock_ms()
        me = self._identity
        details = json.dumps(self._details())
        with self._store.begin() as transaction:
            _write(transaction, me, me.instance, details, now_ms)
            if not self._begun:
                _forget(transaction, me.role, me.failed_instance)
        self._begun = True

    def gone(self) -> None:
        """Delete the heartbeat, at an orderly end."""
        me = self._identity
        with self._turn:
            self._gone = True
            with self._store.begin() as transaction:
                _forget(transaction, me.role, me.instance)


def report_failure(store: HeartbeatStore, me: Identity, reason: str) -> None:
    """Record why this role ends, until it runs again. Raises what the store raises."""
    with store.begin() as transaction:
        details = json.dumps({"failed": reason})
        _write(transaction, me, me.failed_instance, details, wall_ms())


def _write(transaction: Writing, me: Identity, instance: str, details: str, now_ms: int) -> None:
    transaction.execute(
        "INSERT INTO roles"
        " (role, instance, pid, started_ms, restarts, beat_ms, details) VALUES"
        " (:role, :instance, :pid, :started_ms, :restarts, :now, :details)"
        " ON CONFLICT (role, instance) DO UPDATE SET pid = :pid, started_ms = :started_ms,"
        " restarts = :restarts, beat_ms = :now, details = :details",
        role=me.role,
        instance=instance,
        pid=os.getpid(),
        started_ms=me.started_ms,
        restarts=me.restarts,
        now=now_ms,
        details=details,
    )
    # Rows of processes that were killed, or whose machine is gone.
    transaction.execute("DELETE FROM roles WHERE beat_ms < :old", old=now_ms - FORGOTTEN_AFTER_MS)


def _forget(transaction: Writing, role: str, instance: str) -> None:
    transaction.execute(
        "DELETE FROM roles WHERE role = :role AND instance = :instance",
        role=role,
        instance=instance,
    )


@asynccontextmanager
async def alive(heartbeat: Heartbeat) -> AsyncIterator[None]:
    """The heartbeat exists while the block runs, and is deleted when it ends. A row of a killed
    process is deleted an hour after its last write. Raises nothing of its own."""
    beating = asyncio.create_task(heartbeat.run(), name="heartbeat")
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        try:
            await asyncio.to_thread(heartbeat.gone)
        except Exception as error:
            log.warning("heartbeat not deleted", error=type(error).__name__)
