"""How each fault is done to an installation, and undone."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from simulator.chaos.installation import Installation
from simulator.chaos.plan import Fault, Kind
from simulator.chaos.swap import log_renamed, topic_made_again
from simulator.servers.proxy import Line, Proxy

Doing = Callable[[Fault], AbstractAsyncContextManager[str]]


@dataclass(frozen=True, slots=True)
class Done:
    """A fault that was done, for the report."""

    fault: Fault
    began_s: float
    ended_s: float
    note: str
    """"" or why nothing came of it."""


class Chaos:
    """Does faults, several at a time where kind or target differ."""

    def __init__(self, there: Installation, done: Callable[[Done], None]) -> None:
        """`done` is called with each fault once it is undone."""
        self._there, self._done = there, done
        self._busy: set[tuple[Kind, str]] = set()
        self.began_s = time.monotonic()
        self._doing: Mapping[Kind, Doing] = {
            Kind.KILL: self._kill,
            Kind.STOP: self._stop,
            Kind.FILL: self._fill,
            Kind.CUT: self._cut,
            Kind.STEP: self._step,
            Kind.SWAP: self._swap,
        }

    async def run(self, faults: list[Fault]) -> None:
        """Do all of them, each at its time; return when the last is undone."""
        self.began_s = time.monotonic()
        async with asyncio.TaskGroup() as doing:
            for fault in faults:
                await asyncio.sleep(max(0.0, self.began_s + fault.at_s - time.monotonic()))
                doing.create_task(self._do(fault))

    async def _do(self, fault: Fault) -> None:
        began_s = time.monotonic()
        place = (fault.kind, fault.target)
        if place in self._busy:
            self._note(fault, began_s, "not done: the last one of its kind was not undone yet")
            return
        self._busy.add(place)
        try:
            async with self._doing[fault.kind](fault) as note:
                await asyncio.sleep(fault.for_s)
        finally:
            self._busy.discard(place)
        self._note(fault, began_s, note)

    def _note(self, fault: Fault, began_s: float, note: str) -> None:
        now_s = time.monotonic()
        self._done(Done(fault, began_s - self.began_s, now_s - self.began_s, note))

    @asynccontextmanager
    async def _kill(self, fault: Fault) -> AsyncIterator[str]:
        there = self._there
        if fault.target == "broker":
            await asyncio.to_thread(there.broker.kill)
            try:
                yield ""
            finally:
                await asyncio.to_thread(there.broker.restart)
        elif fault.target == "database":
            await asyncio.to_thread(there.postgres.pause, crash=True)
            try:
                yield ""
            finally:
                await asyncio.to_thread(there.postgres.resume)
        elif fault.target == "everything":
            await there.let_end()
            try:
                await there.kill()
                yield ""
            finally:
                there.launch()
                there.keep()
        else:
            role = "" if fault.target == "supervisor" else fault.target
            yield "" if self._signal(signal.SIGKILL, role) else "not done: it was not running"

    def _signal(self, number: int, role: str) -> list[int]:
        """The processes that got it."""
        got = []
        for pid, its_role in self._there.pids().items():
            if its_role == role:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                    got.append(pid)
        return got

    @asynccontextmanager
    async def _stop(self, fault: Fault) -> AsyncIterator[str]:
        stopped = self._signal(signal.SIGSTOP, fault.target)
        try:
            yield "" if stopped else "not done: it was not running"
        finally:
            for pid in stopped:
                if pid in self._there.pids():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGCONT)

    @asynccontextmanager
    async def _fill(self, fault: Fault) -> AsyncIterator[str]:
        disk = self._there.disk
        try:
            await asyncio.to_thread(disk.fill, list(self._there.pids()))
            yield "" if disk.mounted else "by a limit on the size of files"
        finally:
            disk.empty()

    @asynccontextmanager
    async def _cut(self, fault: Fault) -> AsyncIterator[str]:
        there = self._there
        proxies: Mapping[str, Proxy] = {
            "graph": there.to_graph,
            "kafka": there.to_kafka,
            "database": there.to_database,
        }
        proxy = proxies[fault.target]
        if fault.how == "once":
            proxy.cut()
            yield ""
            return
        proxy.turn(Line(fault.how))
        try:
            yield ""
        finally:
            proxy.turn(Line.OPEN)

    @asynccontextmanager
    async def _step(self, fault: Fault) -> AsyncIterator[str]:
        self._there.clock.step(int(fault.how.removesuffix(" s")))
        try:
            yield ""
        finally:
            self._there.clock.step(0)

    @asynccontextmanager
    async def _swap(self, fault: Fault) -> AsyncIterator[str]:
        if fault.target == "log":
            with log_renamed(self._there.data) as note:
                yield note
            return
        async with topic_made_again(self._there) as note:
            yield note
