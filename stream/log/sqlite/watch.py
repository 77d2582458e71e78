"""Wakes waiting readers of the embedded log when a record arrives, from any process, without fast
polling where inotify works."""

import asyncio
import contextlib
import ctypes
import os
import sqlite3
import struct
import sys
from pathlib import Path

from stream.log.sqlite.file import LogFile

SLOW_POLL_S = 0.25
"""Between looks where inotify works."""

MIN_GAP_S = 0.002
"""Between two looks that news caused: under load one look answers for many commits."""

IN_ATTRIB, IN_ONESHOT = 0x4, 0x8000_0000


def announce(path: Path) -> None:
    """Notify every process that waits on the log at `path` of a commit, by touching the file
    (inotify(7), IN_ATTRIB)."""
    with contextlib.suppress(OSError):  # they look by themselves, only later
        os.utime(path)


class Inotify:
    """A one-shot watch for `announce`. Raises OSError if the system has no inotify or its limit is
    reached."""

    def __init__(self, path: Path) -> None:
        if sys.platform != "linux":
            raise OSError("inotify is Linux's")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._path = os.fsencode(path)
        self.fd: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self.arm()
        announce(path)
        if (
            not self.drain()
        ):  # some network and user-space file systems accept a watch and never report an event
            os.close(self.fd)
            raise OSError("inotify does not see this file system")

    def arm(self) -> None:
        self._libc.inotify_add_watch(self.fd, self._path, ctypes.c_uint32(IN_ATTRIB | IN_ONESHOT))

    def drain(self) -> bool:
        """Whether there was an event; removes all of them."""
        with contextlib.suppress(BlockingIOError):
            return len(os.read(self.fd, 4096)) >= struct.calcsize("iIII")
        return False


class Watch:
    """Wakes those who wait for a record, each only when its own topic has grown. Costs nothing
    while nobody waits.

    Polling every 4 ms would take 4 % of a core on a virtual machine (160 us per tick) where the
    limit is 1 %. With inotify idling takes 0.1 %. A slow poll remains, for a writer killed between
    commit and touch, and a fast one where inotify does not work.

    Polls ask `PRAGMA data_version` (sqlite.org/pragma.html#pragma_data_version). The mapped WAL
    index must not be opened: closing a descriptor of it would drop SQLite's own locks
    (sqlite.org/howtocorrupt.html, 2.2).
    """

    def __init__(self, path: Path, file: LogFile, poll_s: float) -> None:
        """`poll_s`: seconds between two polls if there is no inotify."""
        self._path, self._file, self._poll_s = path, file, poll_s
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[asyncio.Future[bool], tuple[str, int]] = {}
        self._version = -1
        self._inotify: Inotify | None = None
        self._begun = False
        self._armed = False
        self._looked_s = 0.0
        self._tick: asyncio.TimerHandle | None = None

    async def wait(self, topic: str, offset: int, timeout_s: float) -> bool:
        """True when `topic` holds `offset` or a later one, or when the log closes or fails; False
        after `timeout_s`."""
        if not self._begun:
            self._begin()
        self._arm()
        if self._file.holds(topic, offset):
            return True
        woken: asyncio.Future[bool] = self._loop.create_future()
        self._waiting[woken] = (topic, offset)
        if self._tick is None:
            self._tick = self._loop.call_later(self._poll_s, self._poll)
        timeout = self._loop.call_later(timeout_s, _wake, woken, False)
        try:
            return await woken
        finally:
            timeout.cancel()
            self._waiting.pop(woken, None)

    def check(self) -> None:
        """Wake those whose record has arrived."""
        if not self._waiting:
            return
        try:
            found = self._file.with_records(list(self._waiting.values()))
            for woken, there in zip(list(self._waiting), found, strict=True):
                if there:
                    _wake(woken)
        except sqlite3.Error:  # the waiters get the same error from their own read
            self._wake_all()

    def close(self) -> None:
        """Wake everybody: no more records will come."""
        self._begun = True
        if self._tick is not None:
            self._tick.cancel()
        if self._inotify is not None:
            self._loop.remove_reader(self._inotify.fd)
            os.close(self._inotify.fd)
            self._inotify = None
        self._wake_all()

    def _begin(self) -> None:
        self._begun = True
        with contextlib.suppress(OSError):
            self._inotify = Inotify(self._path)
            self._poll_s = max(self._poll_s, SLOW_POLL_S)
            self._loop.add_reader(self._inotify.fd, self._news)

    def _arm(self) -> None:
        if self._inotify is not None and not self._armed:
            self._armed = True
            self._inotify.arm()

    def _news(self) -> None:
        if self._inotify is None or not self._inotify.drain():
            return
        self._armed = False
        if self._waiting:
            self._loop.call_at(max(self._loop.time(), self._looked_s + MIN_GAP_S), self._look)

    def _look(self) -> None:
        self._looked_s = self._loop.time()
        if self._waiting:
            self._arm()  # before looking, so that a commit meanwhile is news again
            self.check()

    def _poll(self) -> None:
        self._tick = None
        if not self._waiting:
            return
        try:
            version = self._file.version()
        except sqlite3.Error:
            self._wake_all()
            return
        if version != self._version:
            self._version = version
            self.check()
        self._tick = self._loop.call_later(self._poll_s, self._poll)

    def _wake_all(self) -> None:
        for woken in self._waiting:
            _wake(woken)


def _wake(woken: asyncio.Future[bool], news: bool = True) -> None:
    if not woken.done():
        woken.set_result(news)
