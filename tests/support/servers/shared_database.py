"""A database on PostgreSQL that the tests of a session use one after the other.

Connections stay open from test to test: a new one is a new process of the server, which reads its
catalogs and plans every statement anew, 60 ms of CPU for each test.
"""

import psycopg

from stream.store.migrations.run import head
from stream.store.sql.store import SqlStore

KEPT = "kept"
"""`application_name` of the store's connections."""
EMPTY = f"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
AND NOT (application_name = '{KEPT}' AND state = 'idle');
DO $$ DECLARE t text; BEGIN
FOR t IN SELECT relname FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
    AND pg_relation_size(oid) > 0 -- written to since it was made
    AND relname NOT IN ('alembic_version', 'revisions', 'cell_changes_floor')
LOOP EXECUTE format('DELETE FROM %I', t); END LOOP; END $$;
UPDATE cell_changes_floor SET floor = -1 WHERE floor <> -1;
UPDATE alembic_version SET version_num = '{head()}' WHERE version_num <> '{head()}';
"""


class SharedDatabase:
    """A migrated database at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection: psycopg.Connection | None = None
        self._store: SqlStore | None = None

    def store(self) -> SqlStore:
        """The store of every test that does not open one by itself."""
        if self._store is None:
            self._store = SqlStore.open(f"{self.url}&application_name={KEPT}")
        return self._store

    def empty(self) -> None:
        """End the connections and transactions that a test left, and delete all rows. Where the
        test restarted the server, over a new connection."""
        try:
            self._empty()
        except psycopg.OperationalError:
            self._disconnect()
            self._empty()

    def close(self) -> None:
        """Close all connections."""
        self._disconnect()
        if self._store is not None:
            self._store.close()

    def _empty(self) -> None:
        if self._connection is None:
            self._connection = psycopg.connect(self.url, autocommit=True)
        self._connection.execute(EMPTY)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
