"""Applying the Alembic revisions as the migrator role."""

from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from rollhouse.database.pool import Servers
from rollhouse.database.revisions import location, newest_revision
from rollhouse.database.tables import SCHEMA


class NewerSchema(Exception):
    """The schema is a newer release's and does not serve this one."""


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(location()))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


async def migrate(url: str) -> str:
    """Bring the database behind `url` (the migrator role) to the newest revision, and return the one that it is at.

    A newer release may have been there before: its schema is left as it is, if it still serves this one.
    One process migrates at a time (advisory lock); the others wait for it.

    Raises:
        OSError: Postgres cannot be reached.
        NewerSchema: a newer release was there, and its schema does not serve this one.
        asyncpg.PostgresError: it refuses the role or a statement; what was begun is undone, up to the last whole revision.
    """

    async def connect(*_: object, **__: object) -> Any:
        return await Servers(url).connect()  # of several hosts the one that takes writes

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SET ROLE rollhouse_owner"))
            await connection.execute(text("SELECT pg_advisory_lock(7011998)"))
            await connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            await connection.commit()
            newer = await _newer(connection)
            if newer is not None:
                return newer
            await connection.run_sync(_upgrade)
            await connection.commit()
    except DBAPIError as error:
        said = error.orig.__cause__ if error.orig is not None else None
        raise said if isinstance(said, asyncpg.PostgresError) else error from None
    finally:
        await engine.dispose()
    return newest_revision()


async def _newer(connection: AsyncConnection) -> str | None:
    """The revision of a newer release that the database is at and that serves this one; None where there is none."""
    if not (await connection.execute(text("SELECT to_regclass('rollhouse.alembic_version') IS NOT NULL"))).scalar():
        return None
    current: str | None = (await connection.execute(text("SELECT version_num FROM rollhouse.alembic_version"))).scalar()
    needed = newest_revision()
    if current is None or current <= needed:
        return None
    first = (await connection.execute(text("SELECT rollhouse.serves_from()"))).scalar()
    if first is None or first > needed:
        raise NewerSchema(f"The database is at revision {current} of a newer release and serves releases from {first} on, this one is at {needed}.")
    return current


def _upgrade(connection: Connection) -> None:
    command.upgrade(_config(connection), "head")
