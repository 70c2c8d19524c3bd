"""`rollhouse tenant`: a tenant's life after its creation, and its export and import."""

import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from rollhouse.cli.invocation import Invocation, command, pass_invocation, past_of
from rollhouse.cli.tenants import tenant
from rollhouse.database.pool import Database
from rollhouse.directory import transfer
from rollhouse.directory.archive import Manifest, check_export
from rollhouse.limits import gcra
from rollhouse.tenancy import lifecycle, tenants
from rollhouse.tenancy.tenants import Tenant


@command(tenant, "rename", example='rollhouse tenant rename acme --name "Acme Norge AS"')
@click.argument("slug")
@click.option("--name", required=True, help="The customer's new name, for people.")
@pass_invocation
def rename(invocation: Invocation, slug: str, name: str) -> None:
    """Give a tenant another name; its slug, and so its SCIM URL, stays."""
    _change(invocation, lambda database: tenants.rename_tenant(database, slug, name, cause=invocation.cause), "{slug} is called {name} now.")


@command(tenant, "suspend", example="rollhouse tenant suspend acme --reads")
@click.argument("slug")
@click.option("--reads", is_flag=True, help="Let its identity provider go on reading.")
@pass_invocation
def suspend(invocation: Invocation, slug: str, *, reads: bool) -> None:
    """Refuse a tenant's SCIM requests with 403 until it is resumed."""
    words = "{slug} is suspended. Next: rollhouse tenant resume {slug}"
    _change(invocation, lambda database: lifecycle.suspend_tenant(database, slug, cause=invocation.cause, reads=reads), words)


@command(tenant, "resume", example="rollhouse tenant resume acme")
@click.argument("slug")
@pass_invocation
def resume(invocation: Invocation, slug: str) -> None:
    """Let a suspended tenant's SCIM requests pass again."""
    _change(invocation, lambda database: lifecycle.resume_tenant(database, slug, cause=invocation.cause), "{slug} is active.")


@command(tenant, "delete", example="rollhouse tenant delete acme --grace-days 30")
@click.argument("slug")
@click.option("--grace-days", type=click.IntRange(0, lifecycle.MOST_GRACE_DAYS), default=lifecycle.GRACE_DAYS, show_default=True, help="Days to restore it.")
@click.option("--yes", is_flag=True, help="Do not ask, for scripts.")
@pass_invocation
def delete(invocation: Invocation, slug: str, grace_days: int, *, yes: bool) -> None:
    """Close a tenant at once; it can be restored until its grace is over."""
    _confirm(slug, "be closed, and purged after its grace", yes=yes)
    undo = "To undo it: rollhouse tenant restore {slug}" if grace_days else "It cannot be restored. Next: rollhouse tenant purge {slug}"
    words = "{slug} is closed and keeps everything until {purge_after:%Y-%m-%d %H:%M} UTC. " + undo
    _change(invocation, lambda database: lifecycle.delete_tenant(database, slug, cause=invocation.cause, grace_days=grace_days), words)


@command(tenant, "restore", example="rollhouse tenant restore acme")
@click.argument("slug")
@pass_invocation
def restore(invocation: Invocation, slug: str) -> None:
    """Make a deleted tenant active again, with everything it had."""
    _change(invocation, lambda database: lifecycle.restore_tenant(database, slug, cause=invocation.cause), "{slug} is active.")


@command(tenant, "purge", example="rollhouse tenant purge acme")
@click.argument("slug")
@click.option("--yes", is_flag=True, help="Do not ask, for scripts.")
@pass_invocation
def purge(invocation: Invocation, slug: str, *, yes: bool) -> None:
    """Remove a deleted tenant for ever, once its grace is over."""
    _confirm(slug, "be removed for ever, with all that it has", yes=yes)

    async def work(database: Database) -> tuple[Tenant, int]:
        found = await tenants.find_tenant(database, slug)
        # A progress bar without an end: nobody has counted the rows.
        with click.progressbar(length=0, label="Purging rows", file=sys.stderr, show_pos=True) as bar:
            removed = await lifecycle.purge_tenant(database, slug, cause=invocation.cause, progress=bar.update)
        await _forget(invocation, found)
        return found, removed

    found, removed = invocation.run(work)
    invocation.show({"id": found.id, "slug": slug, "rows": removed}, f"{slug} is gone, with {removed} rows.")


@command(tenant, "export", example="rollhouse tenant export acme --to acme.ndjson")
@click.argument("slug")
@click.option("--to", "path", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write; its manifest is put beside it.")
@pass_invocation
def export(invocation: Invocation, slug: str, path: Path) -> None:
    """Write a tenant's resources and memberships to a file, never its secrets."""

    async def work(database: Database) -> Manifest:
        found = await tenants.find_tenant(database, slug)
        if found.status == "active":
            invocation.say(f"{slug} is active: what changes meanwhile may be missing. For an exact copy: rollhouse tenant suspend {slug} --reads")
        lines = await transfer.count_lines(database, found)
        with click.progressbar(length=lines, label="Exporting", file=sys.stderr, show_pos=True) as bar:
            return await transfer.export_tenant(database, found, path, cause=invocation.cause, progress=bar.update)

    made = invocation.run(work)
    invocation.show(made, f"{path}: {_contents(made)}. Keep the manifest beside it.")


@command(tenant, "import", example="rollhouse tenant import acme --from acme.ndjson")
@click.argument("slug")
@click.option("--from", "path", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File of an export; its manifest stands beside it.")
@pass_invocation
def import_(invocation: Invocation, slug: str, path: Path) -> None:
    """Fill an empty tenant from an export; interrupted, the same command goes on."""

    async def work(database: Database) -> Manifest:
        found = await tenants.find_tenant(database, slug)
        with click.progressbar(length=check_export(path).lines, label="Importing", file=sys.stderr, show_pos=True) as bar:
            return await transfer.import_tenant(database, found, path, cause=invocation.cause, progress=bar.update)

    made = invocation.run(work)
    invocation.show(made, f"{slug} holds {_contents(made)} now. Give it a secret: rollhouse secret create {slug}")


def _change(invocation: Invocation, work: Callable[[Database], Coroutine[Any, Any, Tenant]], words: str) -> None:
    found: Tenant = invocation.run(work)
    data = {
        "id": found.id,
        "slug": found.slug,
        "name": found.name,
        "status": found.status,
        "reads_while_suspended": found.reads_while_suspended,
        "purge_after": found.purge_after,
    }
    invocation.show(data, words.format(**data))


def _confirm(slug: str, fate: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"The tenant {slug} would {fate}, and nobody is there to be asked: add --yes.")
    typed = click.prompt(f"The tenant {slug} will {fate}. Type its slug to go on", err=True)
    if typed != slug:
        raise click.UsageError("That is another slug; nothing was done.")


async def _forget(invocation: Invocation, found: Tenant) -> None:
    """Remove what Redis counts of the tenant; it would expire there by itself."""
    if not await gcra.connect(invocation.settings.redis_url).forget(str(found.id)):
        invocation.say("Redis cannot be reached, so the tenant's count of requests stays there until it expires by itself.")


def _contents(made: Manifest) -> str:
    counts = [f"{count} {name}s" for name, count in made.resources.items()]
    return ", ".join([*counts, f"{made.memberships} memberships"])


@command(tenant, "written", example="rollhouse tenant written --since 2027-06-30T12:00:00Z --json")
@click.option("--since", required=True, help="A past date or time, in UTC unless it says otherwise.")
@pass_invocation
def written(invocation: Invocation, since: str) -> None:
    """List the tenants that have written since a moment. After a restore to it their identity providers must start provisioning anew."""
    moment = past_of(since)
    found = invocation.run(lambda database: lifecycle.written_since(database, moment))
    lines = [f"{one.slug}  {one.changes} changes, the last at {one.last:%Y-%m-%d %H:%M:%S} UTC" for one in found]
    invocation.show(found, "\n".join(lines) or f"No tenant has written since {moment:%Y-%m-%d %H:%M:%S} UTC.")
