"""A folder on a disk of bounded size, which can be filled and emptied."""

import contextlib
import os
import resource
import subprocess
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

CHUNK = 1 << 20
MOUNT_S = 10.0
BALLAST = "ballast"
MOUNT = ("mount", "-t", "tmpfs")


class SmallDisk:
    """`with SmallDisk(folder, 256) as disk`. Where this process may mount (root, or a container
    with that right) `folder` is a tmpfs of its own, and a full disk is a real one (ENOSPC).

    Elsewhere nothing is mounted, and `fill` bounds the size of the files that the given processes
    may write (RLIMIT_FSIZE): writes fail as well, by another name (EFBIG), only beyond that size,
    and only in processes that ran at the time.
    """

    def __init__(self, folder: Path, megabytes: int) -> None:
        self._folder, self._megabytes = folder, megabytes
        self.mounted = False
        self._bounded: dict[int, tuple[int, int]] = {}

    def __enter__(self) -> Self:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = f"size={self._megabytes}m,mode=0700"
        self.mounted = _ran([*MOUNT, "-o", options, "tmpfs", str(self._folder)])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.empty()
        if self.mounted:
            # Lazily: whoever still has a file open there keeps it, and nobody else sees it.
            self.mounted = not _ran(["umount", "--lazy", str(self._folder)])

    def fill(self, pids: Collection[int]) -> None:
        """No room is left, for `pids` at least."""
        if self.mounted:
            self._write_ballast()
            return
        largest = max(
            (path.stat().st_size for path in self._folder.iterdir() if path.is_file()), default=0
        )
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                self._bounded[pid] = before
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest, before[1]))

    def empty(self) -> None:
        """There is room again."""
        (self._folder / BALLAST).unlink(missing_ok=True)
        for pid, before in self._bounded.items():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        self._bounded.clear()

    def _write_ballast(self) -> None:
        ballast = os.open(self._folder / BALLAST, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for size in (CHUNK, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        os.write(ballast, bytes(size))
        finally:
            os.close(ballast)


def _ran(command: list[str]) -> bool:
    """Whether it succeeded."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=MOUNT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
