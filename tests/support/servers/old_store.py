"""A store as an older program left it: migrated up to a revision, and no further."""

from importlib import resources

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from stream.store.sql.dialect import dialect_of


def store_at(url: str, revision: str) -> sa.Engine:
    """An engine on the empty database of `url`, its schema at `revision`. The caller disposes."""
    dialect = dialect_of(url)
    engine = sa.create_engine(dialect.engine_url(url))
    config = Config()
    with (
        resources.as_file(resources.files("stream.store.migrations")) as folder,
        engine.begin() as connection,
    ):
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    return engine
