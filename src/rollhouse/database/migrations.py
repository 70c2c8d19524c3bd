"""Applying the Alembic revisions as the migrator role."""

from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from rollhouse.database.revisions import location, newest_revision
from rollhouse.database.tables import SCHEMA


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(location()))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


async def migrate(url: str) -> str:
    """Bring the database behind `url` (the migrator role) to the newest revision, which is returned.

    One process migrates at a time (advisory lock); the others wait for it.

    Raises:
        OSError: Postgres cannot be reached.
        asyncpg.PostgresError: it refuses the role or a statement; what was begun is undone, up to the last whole revision.
    """

    async def connect(*_: object, **__: object) -> Any:
        return await asyncpg.connect(url)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SET ROLE rollhouse_owner"))
            await connection.execute(text("SELECT pg_advisory_lock(7011998)"))
            await connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            await connection.commit()
            await connection.run_sync(_upgrade)
            await connection.commit()
    except DBAPIError as error:
        said = error.orig.__cause__ if error.orig is not None else None
        raise said if isinstance(said, asyncpg.PostgresError) else error from None
    finally:
        await engine.dispose()
    return newest_revision()


def _upgrade(connection: Connection) -> None:
    command.upgrade(_config(connection), "head")
