"""Alembic's entry: runs the revisions as `rollhouse_owner` over the connection that `rollhouse.database.migrations` hands in."""

from alembic import context

from rollhouse.database.portal_tables import ALL_TABLES
from rollhouse.database.tables import SCHEMA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=ALL_TABLES, version_table_schema=SCHEMA, include_schemas=True, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
