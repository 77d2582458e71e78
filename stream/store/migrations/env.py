"""Alembic's entry point: it runs on the connection, and within the transaction, that `run.migrate`
hands it."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], transaction_per_migration=False
)
context.run_migrations()
