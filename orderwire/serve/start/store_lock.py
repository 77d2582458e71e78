"""The lock that admits one process role per SQLite store, taken before any side effect."""

import asyncio
from pathlib import Path

import structlog
from filelock import FileLock, Timeout

from orderwire.settings.program import ConfigurationError

PATIENCE_S = 60.0
"""An orphaned process role finishes its batches and requests, with nobody to end it after 25 s."""

TAKEN = "another process role works on it"

log = structlog.get_logger()


async def exclusive_store(
    path: Path, stop: asyncio.Event, *, patience_s: float = PATIENCE_S
) -> FileLock | None:
    """The lock of the process role on the SQLite store at `path`; None if `stop` came first.

    A previous process may still be ending (`orderwire/serve/start/address.py`), so the lock is
    waited for. Raises ConfigurationError.
    """
    what = f"ORDERWIRE_STORE_URL {path}"
    try:
        lock = _lock_beside(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            log.warning("waiting", what=what, reason=TAKEN, at_most_s=patience_s)
            await asyncio.to_thread(lock.acquire, timeout=patience_s, cancel_check=stop.is_set)
    except Timeout:
        if stop.is_set():
            return None
        raise ConfigurationError(f"{what}: {TAKEN}: one `serve` per SQLite store") from None
    except OSError as error:
        raise ConfigurationError(f"{what}: {error.strerror or error}") from None
    return lock


def _lock_beside(path: Path) -> FileLock:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whatever link the store is reached by, the lock's file is one and the same.
    real = path.resolve()
    # Taken in one thread and released in another.
    return FileLock(real.with_name(real.name + ".process"), thread_local=False)
