"""`rollhouse doctor`: every misconfiguration in one line, each with its cure."""

import asyncio

import click

from rollhouse.cli.invocation import FAILED, Invocation, command
from rollhouse.cli.root import rollhouse
from rollhouse.database.pool import Database
from rollhouse.http.findings import redis_findings, server_findings, setting_findings, unreachable
from rollhouse.scim.errors import ScimError
from rollhouse.settings import Settings


@command(rollhouse, "doctor", example="rollhouse doctor --json")
@click.option("--no-redis", is_flag=True, help="There is no Redis on purpose: each process counts limits for itself.")
@click.pass_context
def doctor(context: click.Context, *, no_redis: bool) -> None:
    """Check settings, Postgres, roles, row-level security, migrations, Redis and clocks; every finding names its cure."""
    invocation = context.ensure_object(Invocation)
    settings = invocation.settings
    findings = setting_findings(settings, is_dev=no_redis or invocation.environment.database_url is None)
    findings += asyncio.run(_look(settings))
    words = "\n".join(f"- {finding}" for finding in findings)
    invocation.show(
        {"ok": not findings, "findings": findings}, words or "Nothing is wrong: settings, Postgres, roles, row-level security, migrations, Redis and clocks."
    )
    if findings:
        context.exit(FAILED)


async def _look(settings: Settings) -> list[str]:
    if settings.database_url is None:
        return await server_findings(settings, None)
    database = Database(settings.database_url, connections=2)
    try:
        await database.open()
    except ScimError as error:
        return [*await redis_findings(settings.redis_url), unreachable(error)]
    try:
        return await server_findings(settings, database)
    finally:
        await database.close()
