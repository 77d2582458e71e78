"""Brings the schema up to date, in whichever process opens the store first.

Alembic is loaded only where there is something to do: every process opens the store, and few of
them find it out of date.
"""

import re
from importlib import resources
from typing import TYPE_CHECKING

import sqlalchemy as sa

from stream.store.contract import Incompatible

if TYPE_CHECKING:
    from stream.store.sql.dialect import Dialect


def revisions() -> list[str]:
    """Every revision there is, oldest first: version files are named by theirs, four digits."""
    names = (
        entry.name for entry in (resources.files("stream.store.migrations") / "versions").iterdir()
    )
    return sorted(name[:4] for name in names if name[:4].isdigit() and name.endswith(".py"))


def head() -> str:
    """The newest of them."""
    return revisions()[-1]


def current(connection: sa.Connection) -> str | None:
    """The database's revision; None for an empty one."""
    if connection.dialect.name == "postgresql":  # SQLAlchemy asks three catalogs: 5 ms
        there = connection.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar()
    else:
        there = sa.inspect(connection).has_table("alembic_version")
    if not there:
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if found is None else str(found)


def migrate(engine: sa.Engine, dialect: "Dialect") -> None:
    """Upgrade to `head`, once, whoever else tries at the same time. Raises Incompatible where the
    schema is newer, or not ours."""
    known = revisions()
    with engine.begin() as connection:
        found = current(connection)
    if found == known[-1]:
        return
    if found is not None and found not in known:
        if re.fullmatch(r"\d{4}", found) and found > known[-1]:
            raise Incompatible(
                f"the store's schema is at revision {found}, this program knows {known[-1]}: "
                "upgrade orderwire"
            )
        raise Incompatible(
            "the database of ORDERWIRE_STORE_URL is another program's (its schema's revision is "
            f"{found!r})"
        )
    with engine.begin() as connection:
        dialect.lock_schema(connection)
        if current(connection) != known[-1]:
            _upgrade(connection)


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    with resources.as_file(resources.files("stream.store.migrations")) as folder:
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
