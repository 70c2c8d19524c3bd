"""`rollhouse migrate` and `rollhouse doctor`: bring the database up to date, and say what is wrong with it."""

import asyncio
import time
from datetime import UTC, datetime

import asyncpg
import click

from rollhouse.cli.invocation import FAILED, Invocation, Precondition, command, pass_invocation
from rollhouse.cli.root import rollhouse
from rollhouse.database import migrations
from rollhouse.database.health import schema_findings
from rollhouse.database.pool import Database
from rollhouse.database.roles import bootstrap_script

CLOCK_LIMIT_SECONDS = 5.0
POSTGRES_MINIMUM = 150_000


@command(rollhouse, "migrate", example="ROLLHOUSE_MIGRATION_DATABASE_URL=postgresql://rollhouse_migrator@db/rollhouse rollhouse migrate")
@click.option("--print-roles", is_flag=True, help="Print the SQL that makes the roles and the database, and stop.")
@pass_invocation
def migrate(invocation: Invocation, *, print_roles: bool) -> None:
    """Bring the database to the newest revision, as the migrator role."""
    if print_roles:
        invocation.show({"sql": bootstrap_script()}, bootstrap_script().rstrip())
        return
    url = invocation.settings.migration_database_url
    if url is None:
        raise Precondition("ROLLHOUSE_MIGRATION_DATABASE_URL is not set: give the URL of Postgres as rollhouse_migrator (see --print-roles).")
    try:
        revision = asyncio.run(migrations.migrate(url))
    except OSError as error:
        raise Precondition(f"Postgres cannot be reached ({error}): check ROLLHOUSE_MIGRATION_DATABASE_URL, and that the server runs.") from error
    except asyncpg.PostgresError as error:
        raise Precondition(
            f"Postgres refuses the migrator: {error}. Are the roles made? rollhouse migrate --print-roles | psql -X -v ON_ERROR_STOP=1"
        ) from error
    invocation.show({"revision": revision}, f"The database is at revision {revision}.")


@command(rollhouse, "doctor", example="rollhouse doctor --json")
@click.pass_context
def doctor(context: click.Context) -> None:
    """Check roles, row-level security, catalog, migrations and clock; every finding names its cure."""
    invocation = context.ensure_object(Invocation)
    findings = invocation.run(_findings)
    words = (
        "\n".join(f"- {finding}" for finding in findings) or "Nothing is wrong: roles, row-level security, catalog, migrations and clock are as they should be."
    )
    invocation.show({"ok": not findings, "findings": findings}, words)
    if findings:
        context.exit(FAILED)


async def _findings(database: Database) -> list[str]:
    version = int((await database.query("SELECT current_setting('server_version_num')"))[0][0])
    findings = [] if version >= POSTGRES_MINIMUM else [f"Postgres is version {version // 10_000}; cure: use 15 or newer"]
    findings += await schema_findings(database)
    started = time.monotonic()
    theirs = (await database.query("SELECT clock_timestamp()"))[0][0]
    apart = abs((datetime.now(UTC) - theirs).total_seconds()) - (time.monotonic() - started)
    if apart > CLOCK_LIMIT_SECONDS:
        findings.append(f"this machine's clock and the database's are {apart:.0f} s apart; cure: let both follow NTP")
    return findings
