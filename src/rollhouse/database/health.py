"""Whether a database can be served from: it answers, its schema is this release's, and its catalog has no hole."""

from rollhouse.database.catalog import catalog_findings
from rollhouse.database.migrations import newest_revision
from rollhouse.database.pool import Database


async def ping(database: Database) -> None:
    """One round trip.

    Raises:
        Unavailable: Postgres does not answer.
    """
    await database.query("SELECT 1")


async def schema_findings(database: Database) -> list[str]:
    """Why SCIM must not be served from this database, a sentence with its cure each; empty when it may.

    Raises:
        Unavailable: Postgres does not answer.
    """
    if not (await database.query("SELECT to_regclass('rollhouse.alembic_version') IS NOT NULL"))[0][0]:
        return ["the database has no tables of rollhouse; cure: rollhouse migrate"]
    current = (await database.query("SELECT version_num FROM rollhouse.alembic_version"))[0][0]
    if current != newest_revision():
        return [f"the database is at revision {current}, this release needs {newest_revision()}; cure: rollhouse migrate"]
    return await catalog_findings(database)
