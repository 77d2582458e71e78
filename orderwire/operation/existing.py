"""Opens an existing log or store without creating or changing it, for read-only commands. `serve`
creates files and upgrades schemas."""

import sqlite3
from contextlib import closing

import sqlalchemy as sa

from orderwire.serve.start.connections import open_log, open_store
from orderwire.settings.program import Settings, sqlite_path
from stream.log.contract import Log
from stream.store.contract import StoreError, StoreUnavailable
from stream.store.migrations.run import current, head
from stream.store.sql import sqlite_owner
from stream.store.sql.dialect import dialect_of
from stream.store.sql.store import SqlStore

CONNECT_TIMEOUT_S = 5


class NothingThere(Exception):
    """There is no log or store yet; the message says what creates it."""


def store_revision(url: str) -> str | None:
    """The revision of the store's schema; None if there is no file or no schema yet. Changes
    nothing. Raises StoreError."""
    path = sqlite_path(url)
    if path is None:
        return _server_revision(url)
    if not path.exists():
        return None
    sqlite_owner.check(path)
    try:
        with closing(sqlite3.connect(path, timeout=CONNECT_TIMEOUT_S)) as db:
            if (
                db.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
                is None
            ):
                return None
            row = db.execute("SELECT version_num FROM alembic_version").fetchone()
            return None if row is None else str(row[0])
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{path} cannot be read: {error}") from None


def _server_revision(url: str) -> str | None:
    try:
        engine = sa.create_engine(
            dialect_of(url).engine_url(url),
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
            poolclass=sa.NullPool,
        )
    except sa.exc.ArgumentError:
        raise StoreError(
            "the store's URL cannot be read: write postgresql://user@host/database"
        ) from None
    try:
        with engine.connect() as connection:
            return current(connection)
    except sa.exc.DBAPIError as error:
        raise StoreUnavailable(
            f"the database does not answer: {str(error.orig).splitlines()[0]}"
        ) from None


def open_existing_store(settings: Settings) -> SqlStore:
    """The store, if it exists with this program's schema. Raises NothingThere, StoreError."""
    url = settings.store_url.get_secret_value()
    revision = store_revision(url)
    if revision is None:
        raise NothingThere(
            "there is no store yet at ORDERWIRE_STORE_URL: `orderwire serve` makes it"
        )
    if revision < head():
        raise NothingThere(
            f"the store's schema is at {revision}, this program needs {head()}: start `orderwire "
            "serve`, which upgrades it"
        )
    return open_store(settings)


async def open_existing_log(settings: Settings) -> Log:
    """The log, if it exists; on Kafka missing topics are created, as `serve` would. Raises
    NothingThere, LogError."""
    path = sqlite_path(settings.log_url)
    if path is not None and not path.exists():
        raise NothingThere(f"there is no log yet at {path}: `orderwire serve` makes it")
    return await open_log(settings)
