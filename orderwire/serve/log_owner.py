"""Admits one deployment to a log. On Kafka two would share its consumer groups, and each would fold
half of the records without noticing; on a file both would send every event."""

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine
from hashlib import blake2b
from typing import Any, Final

import structlog

from orderwire.serve.waiting import unless_stopped
from processors.privacy.late import made_salt
from stream.log.contract import Log, LogOwned, Owner, Unavailable
from stream.store.contract import Store, StoreError

SAID_EVERY_S: Final = 30.0
GONE_S: Final = 90.0
"""A deployment without a sign of life for so long is gone: its store was given up, or moved."""
LOOK_S: Final = 5.0
TAKEN: Final = (
    "another deployment, with another store, reads this log: give this one a log of its own"
    " (ORDERWIRE_KAFKA_TOPIC_PREFIX on Kafka, ORDERWIRE_LOG_URL for a file), or stop the other one."
    f" This one then begins; on Kafka {GONE_S:.0f} s after the other's last sign of life"
)

log = structlog.get_logger()


def deployment(store: Store) -> str:
    """What all processes on one store have in common, and those on another have not.

    Of a database it is the place, so that a copy of it is another one; of a file it is what was
    drawn when it was made, since a container's names change with each start. Raises StoreError.
    """
    with store.begin() as transaction:
        parts = [made_salt(transaction, secrets.token_hex(16))]
        if store.dialect == "postgresql":
            (row,) = transaction.query(
                "SELECT (SELECT oid FROM pg_database WHERE datname = current_database()) AS"
                " database, current_schema() AS schema"
            )
            parts += [str(row.database), row.schema]
    return blake2b(" ".join([*parts, _cluster(store)]).encode(), digest_size=8).hexdigest()


def _cluster(store: Store) -> str:
    """PostgreSQL's id of its cluster; "" where we may not ask, or for a file."""
    if store.dialect != "postgresql":
        return ""
    try:
        with store.snapshot() as snapshot:
            return str(snapshot.query("SELECT system_identifier FROM pg_control_system()")[0][0])
    except StoreError:
        return ""


async def owned(
    source: Log,
    name: str,
    stop: asyncio.Event,
    note: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
) -> bool:
    """Wait until this deployment may read the log; False if `stop` came first. `note` is given the
    reason to wait."""
    seen: Owner | None = None
    since_s = clock()
    # Not stamina: it waits for another deployment to end, or for `stop`.
    while not stop.is_set():
        try:
            found = await source.owner()
            if found is None or found.name in ("", name):
                await source.own(name)
                return True
            if found != seen:
                seen, since_s = found, clock()
            if clock() - since_s >= GONE_S:
                log.warning("the deployment that read this log is gone", taken_over_by=name)
                await source.own(name)
                return True
            note(TAKEN)
        except Unavailable:
            return True  # What needs no log goes on; `keep_owned` asks again.
        await unless_stopped(stop, sleep(LOOK_S))
    return False


async def keep_owned(
    source: Log, name: str, sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep
) -> None:
    """Give signs of life until cancelled. Raises LogOwned where another deployment has begun."""
    pause_s = LOOK_S
    while True:
        await sleep(pause_s)
        try:
            found = await source.owner()
            if found is not None and found.name not in ("", name):
                raise LogOwned(TAKEN)
            await source.own(name)
            pause_s = SAID_EVERY_S
        except Unavailable:
            pause_s = LOOK_S  # The processors say that Kafka is away.
