"""A small disk can be filled and emptied, with the right to mount and without."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.servers import small_disk
from simulator.servers.small_disk import SmallDisk

WRITER = """
import sys
for line in sys.stdin:
    try:
        with open("file", "ab", buffering=0) as file:
            print(file.write(bytes(100_000)), flush=True)
    except OSError as error:
        print(-error.errno, flush=True)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prlimit and tmpfs are Linux's")


def written(process: "subprocess.Popen[str]") -> int:
    """Bytes that the process could write just now, or the error's number below zero."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return int(process.stdout.readline())


@pytest.mark.parametrize("may_mount", [True, False])
def test_a_full_disk_takes_nothing_until_it_is_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, may_mount: bool
) -> None:
    if not may_mount:
        monkeypatch.setattr(small_disk, "MOUNT", ("false",))
    with SmallDisk(tmp_path / "data", 2) as disk:
        assert may_mount or not disk.mounted
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER],
            cwd=tmp_path / "data",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert written(process) == 100_000
            disk.fill([process.pid])
            full = written(process)
            while full > 0:  # what was left of the last page
                full = written(process)
            assert -full == (errno.ENOSPC if disk.mounted else errno.EFBIG)
            disk.empty()
            assert written(process) == 100_000
        finally:
            process.communicate(timeout=60)
    assert not os.path.ismount(tmp_path / "data")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
