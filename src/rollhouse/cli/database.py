"""`rollhouse migrate`: bring the database up to date."""

import asyncio

import asyncpg
import click

from rollhouse.cli.invocation import Invocation, Precondition, command, pass_invocation
from rollhouse.cli.root import rollhouse
from rollhouse.database import migrations
from rollhouse.database.revisions import newest_revision
from rollhouse.database.roles import bootstrap_script, login_script


@command(rollhouse, "migrate", example="ROLLHOUSE_MIGRATION_DATABASE_URL=postgresql://rollhouse_migrator@db/rollhouse rollhouse migrate")
@click.option("--print-roles", is_flag=True, help="Print the SQL that makes the roles and the database, and stop.")
@click.option("--login", metavar="NAME", help="With --print-roles: the SQL of a second login of the service, to exchange a password without a pause.")
@pass_invocation
def migrate(invocation: Invocation, *, print_roles: bool, login: str | None) -> None:
    """Bring the database to the newest revision, as the migrator role."""
    if login is not None and not print_roles:
        raise click.UsageError("--login goes with --print-roles.")
    if print_roles:
        try:
            script = bootstrap_script() if login is None else login_script(login)
        except ValueError as error:
            raise click.UsageError(f"{login} cannot be made: {error}.") from None
        invocation.show({"sql": script}, script.rstrip())
        return
    url = invocation.settings.migration_database_url
    if url is None:
        raise Precondition("ROLLHOUSE_MIGRATION_DATABASE_URL is not set: give the URL of Postgres as rollhouse_migrator (see --print-roles).")
    try:
        revision = asyncio.run(migrations.migrate(url))
    except migrations.NewerSchema as error:
        raise Precondition(f"{error} Run a newer release.") from None
    except OSError as error:
        raise Precondition(f"Postgres cannot be reached ({error}): check ROLLHOUSE_MIGRATION_DATABASE_URL, and that the server runs.") from error
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InsufficientPrivilegeError, asyncpg.InvalidCatalogNameError) as error:
        cure = "are the roles made (rollhouse migrate --print-roles | psql -X -v ON_ERROR_STOP=1), and is the password right?"
        raise Precondition(f"Postgres refuses the migrator: {error}; {cure}") from error
    except asyncpg.LockNotAvailableError as error:
        raise Precondition(
            f"A table is in use for longer than a migration waits ({error}). Nothing is half done: run it again, or end the transaction that holds it."
        ) from error
    except asyncpg.PostgresError as error:
        raise Precondition(
            f"Postgres refuses a statement of a migration ({error.sqlstate}): {error}. The revisions before it are done, and releases that serve go on."
        ) from error
    newer = " It is a newer release's, and serves this one; nothing was done." if revision > newest_revision() else ""
    invocation.show({"revision": revision}, f"The database is at revision {revision}.{newer}")
