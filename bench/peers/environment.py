"""The peers' packages, in a virtual environment of their own: what orderwire is built with stays
as it is."""

import hashlib
import subprocess
import sys
from pathlib import Path

from orderwire.settings.sources import child_environment

LOCK = Path(__file__).with_name("requirements.lock")
ROOT = Path(__file__).parents[2]


def python() -> str:
    """The interpreter that has the packages of `requirements.lock`; installs them once into the
    user's cache."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    folder = Path.home() / ".cache" / "orderwire" / f"peers-{digest}"
    interpreter = folder / "bin" / "python"
    complete = folder / "complete"
    if not complete.exists():
        print(f"installing the peers into {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([str(interpreter), *install, "-r", str(LOCK)], check=True)
        complete.touch()
    return str(interpreter)


def variables() -> dict[str, str]:
    """For a child that imports `bench` from where this file is."""
    return child_environment({"PYTHONPATH": str(ROOT)})
