"""Files that hold bodies or secrets are their owner's only, whatever the umask."""

import os
import subprocess
import sys
import time
from pathlib import Path

from orderwire.private_files import readable_by_others, tighten
from orderwire.settings.program import Settings
from tests.support.shops.shop_world import VARIABLES

ROLE = "import os, sys; os.umask(0); from orderwire.serve.role import main; sys.exit(main())"


def test_a_role_makes_private_files_in_a_private_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    variables = VARIABLES | {
        "ORDERWIRE_LOG_URL": f"sqlite:///{data / 'log.db'}",
        "ORDERWIRE_STORE_URL": f"sqlite:///{data / 'state.db'}",
    }
    command = [sys.executable, "-c", ROLE, "process"]
    with subprocess.Popen(command, env=os.environ | variables, cwd=tmp_path) as role:
        deadline_s = time.monotonic() + 120
        while not (data / "state.db").exists() and time.monotonic() < deadline_s:
            time.sleep(0.05)
        role.terminate()
    made = {path.name: oct(path.stat().st_mode & 0o777) for path in data.iterdir()}
    assert "state.db" in made
    assert set(made.values()) == {"0o600"}
    assert data.stat().st_mode & 0o777 == 0o700


def test_files_of_an_older_version_are_closed(tmp_path: Path) -> None:
    store, beside = tmp_path / "state.db", tmp_path / "state.db-wal"
    settings = Settings.load(VARIABLES | {"ORDERWIRE_STORE_URL": f"sqlite:///{store}"})
    for path in (store, beside):
        path.touch(0o644)
    tighten(settings)
    assert not readable_by_others(store)
    assert not readable_by_others(beside)
