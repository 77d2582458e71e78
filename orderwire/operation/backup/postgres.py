"""Dumps and restores a PostgreSQL store by PostgreSQL's own `pg_dump` and `pg_restore`."""

import shutil
import subprocess
from pathlib import Path

from sqlalchemy.engine import make_url

from orderwire.operation.refused import Refused
from orderwire.settings.program import child_environment

COMMON = ("--no-owner", "--no-privileges")


def dump(url: str, target: Path) -> None:
    """The database at one moment, in pg_dump's custom format (compressed). Raises Refused."""
    target.touch(mode=0o600)
    _run("pg_dump", url, "--format=custom", *COMMON, f"--file={target}")


def restore(url: str, source: Path) -> None:
    """Fill an empty database, whole or not at all. Raises Refused."""
    flags = ("--exit-on-error", "--single-transaction", *COMMON)
    _run("pg_restore", url, *flags, str(source))


def _run(program: str, url: str, *arguments: str) -> None:
    found = shutil.which(program)
    if found is None:
        raise Refused(
            f"{program} is not on the PATH: install PostgreSQL's client programs, of the server's "
            "version or newer"
        )
    parts = make_url(url).set(drivername="postgresql")
    # Not among the arguments: those are visible to every user of the machine.
    secret = {} if parts.password is None else {"PGPASSWORD": str(parts.password)}
    database = parts.set(password=None).render_as_string(hide_password=False)
    command = [found, f"--dbname={database}", "--no-password", *arguments]
    done = subprocess.run(  # noqa: S603 - PostgreSQL's own program
        command,
        env=child_environment(secret),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise Refused(f"{program}: {done.stderr.strip() or f'exit code {done.returncode}'}")
