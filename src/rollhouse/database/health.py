"""Whether a database can be served from: it answers, its schema is this release's, its catalog has no hole, and its server is set up for it."""

import asyncio
import time
from datetime import UTC, datetime

from rollhouse.database.catalog import catalog_findings
from rollhouse.database.pool import Database
from rollhouse.database.revisions import newest_revision

CLOCK_LIMIT_SECONDS = 5.0
POSTGRES_MINIMUM = 150_000
MENDED_MINORS = {15: 9, 16: 5, 17: 1}
"""The first minor release of each version in which a cached plan cannot use another role's policy (CVE-2024-10976)."""
LISTEN_SECONDS = 2.0


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
    needed = newest_revision()
    if current == needed:
        return await catalog_findings(database)
    if current < needed:
        return [f"the database is at revision {current}, this release needs {needed}; cure: rollhouse migrate"]
    return await _newer_findings(database, current, needed)


async def _newer_findings(database: Database, current: str, needed: str) -> list[str]:
    """Whether a database that a newer release has migrated still serves this one: it says from which revision on it does (decision 0012)."""
    is_told = (await database.query("SELECT to_regprocedure('rollhouse.serves_from()') IS NOT NULL"))[0][0]
    first = (await database.query("SELECT rollhouse.serves_from()"))[0][0] if is_told else current
    if needed < first:
        newer = f"the database is at revision {current} of a newer release and serves releases from {first} on"
        return [f"{newer}, this one needs {needed}; cure: run a newer release"]
    return await catalog_findings(database, of_newer=True)


async def postgres_findings(database: Database, *, connections: int) -> list[str]:
    """What is wrong with the server: its version, its settings, and whether it takes so many connections and writes."""
    row = (
        await database.query(
            "SELECT current_setting('server_version_num')::int, current_setting('max_connections')::int, current_setting('fsync'),"
            " current_setting('synchronous_commit'), pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'"
        )
    )[0]
    version, most, fsync, commit, is_read_only = row
    findings = [] if version >= POSTGRES_MINIMUM else [f"Postgres is version {version // 10_000}; cure: use 15 or newer"]
    major, minor = divmod(version, 10_000)
    if minor < MENDED_MINORS.get(major, 0):
        findings.append(
            f"Postgres {major}.{minor} may apply another role's policy to a cached plan (CVE-2024-10976); cure: update to {major}.{MENDED_MINORS[major]}"
        )
    if connections + 3 > most:
        opens = f"one process may open {connections} connections, and Postgres takes {most}"
        findings.append(f"{opens}; cure: raise max_connections, or lower ROLLHOUSE_DATABASE_CONNECTIONS")
    if fsync == "off" or commit == "off":
        findings.append(
            "Postgres acknowledges writes before they are on disk, and identity providers do not repeat those; cure: fsync = on, synchronous_commit = on"
        )
    if is_read_only:
        findings.append(
            "ROLLHOUSE_DATABASE_URL leads to a server that takes no writes; cure: name the primary, or several hosts with target_session_attrs=read-write"
        )
    return findings + await _listen_findings(database)


async def _listen_findings(database: Database) -> list[str]:
    heard = asyncio.Event()
    async with database.connection() as connection:

        def hear(*_: object) -> None:
            heard.set()

        await connection.add_listener("rollhouse_doctor", hear)
        await connection.execute("NOTIFY rollhouse_doctor")
        try:
            await asyncio.wait_for(heard.wait(), LISTEN_SECONDS)
        except TimeoutError:
            return ["notifications do not arrive, so a revoked secret lives up to five seconds; cure: connect past PgBouncer, or use its session mode"]
        finally:
            await connection.remove_listener("rollhouse_doctor", hear)
    return []


async def clock_findings(database: Database) -> list[str]:
    """Whether this machine's clock and the server's are more than five seconds apart."""
    started = time.monotonic()
    theirs = (await database.query("SELECT clock_timestamp()"))[0][0]
    apart = abs((datetime.now(UTC) - theirs).total_seconds()) - (time.monotonic() - started)
    if apart > CLOCK_LIMIT_SECONDS:
        return [f"this machine's clock and the database's are {apart:.0f} s apart; cure: let both follow NTP"]
    return []
