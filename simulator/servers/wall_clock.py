"""A wall clock that steps, for the Python processes that are started with its environment. Their
monotonic clocks, and all clocks of everybody else, go on as they are."""

import os
from collections.abc import Mapping
from pathlib import Path

from orderwire.settings.sources import child_environment
from simulator.servers import stepping_clock


class WallClock:
    """Right at first. `file` is where those processes read how far it is off.

    libfaketime would do the same for any program, but Python 3.11's `time.sleep` fails under it
    (clock_nanosleep with an absolute monotonic time) unless the monotonic clock is stepped too.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.step(0)

    def environment(self) -> Mapping[str, str]:
        """Variables of a process whose wall clock this is."""
        inherited = child_environment({}).get("PYTHONPATH")
        path = [*stepping_clock.__path__, *filter(None, [inherited])]
        return {"PYTHONPATH": os.pathsep.join(path), "STEPPING_CLOCK": str(self._file)}

    def step(self, offset_s: int) -> None:
        """Be `offset_s` seconds off from now on; noticed within a twentieth of a second."""
        whole = self._file.with_suffix(".next")
        whole.write_text(str(offset_s))
        whole.replace(self._file)
