"""`rollhouse tenant` and `rollhouse secret`: tenants, their limits and their SCIM secrets."""

from typing import Any, get_args
from uuid import UUID

import click
import msgspec

from rollhouse.cli.invocation import Invocation, Precondition, command, group, moment_of, pass_invocation, program
from rollhouse.cli.root import rollhouse
from rollhouse.database.pool import Database
from rollhouse.limits.limit import RATE_LIMIT
from rollhouse.scim.profile import MEMBERS_LIMIT, PatchAnswer
from rollhouse.tenancy import credentials
from rollhouse.tenancy import tenants as directory
from rollhouse.tenancy.tenants import Tenant


@group(rollhouse, "tenant")
def tenant() -> None:
    """Create, list, limit, suspend, delete, restore, export and import tenants."""


@group(rollhouse, "secret")
def secret() -> None:
    """Create, list and revoke SCIM secrets."""


def scim_url(invocation: Invocation, found: Tenant) -> str:
    """The tenant's SCIM URL, from ROLLHOUSE_PUBLIC_URL or from what `rollhouse dev` wrote."""
    public_url = invocation.settings.public_url
    if public_url is None:
        raise Precondition("ROLLHOUSE_PUBLIC_URL is not set: give the address that identity providers use, e.g. https://scim.example.com")
    return public_url.rstrip("/") + found.path


def _described(invocation: Invocation, found: Tenant) -> dict[str, Any]:
    return {
        "id": found.id,
        "slug": found.slug,
        "scim_url": scim_url(invocation, found),
        "name": found.name,
        "status": found.status,
        "rate_per_second": found.rate_per_second,
        "burst": found.burst,
        "created": found.created,
    }


def _limit(found: Tenant) -> str:
    if found.rate_per_second is None:
        return "default limit"
    return "no limit" if found.rate_per_second == 0 else f"{found.rate_per_second}/s, burst {found.burst}"


@command(tenant, "create", example='rollhouse tenant create acme --name "Acme Ltd"')
@click.argument("slug")
@click.option("--name", required=True, help="The customer's name, for people.")
@pass_invocation
def create(invocation: Invocation, slug: str, name: str) -> None:
    """Create a tenant; its SLUG is part of its SCIM URL for ever."""

    async def work(database: Database) -> Tenant:
        return await directory.create_tenant(database, slug, name, cause=invocation.cause)

    scim_url(invocation, Tenant(id=None, slug=slug, name=name, status=""))  # type: ignore[arg-type]
    made = invocation.run(work)
    url = scim_url(invocation, made)
    invocation.show(
        {"id": made.id, "slug": made.slug, "scim_url": url}, f"Tenant {made.slug} is ready.\n  Tenant URL  {url}\nNext: {program()} secret create {made.slug}"
    )


@command(tenant, "list", example="rollhouse tenant list --json")
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List every tenant."""
    found = invocation.run(directory.list_tenants)
    lines = [f"{one.slug:<24} {one.status:<10} {_limit(one):<20} {one.name}" for one in found]
    invocation.show([_described(invocation, one) for one in found], "\n".join(lines) or "There is no tenant yet: rollhouse tenant create SLUG --name NAME")


@command(tenant, "show", example="rollhouse tenant show acme")
@click.argument("slug")
@pass_invocation
def show(invocation: Invocation, slug: str) -> None:
    """Show one tenant."""
    found = invocation.run(lambda database: directory.find_tenant(database, slug))
    words = f"{found.slug} ({found.name}), {found.status}, {_limit(found)}\n  Tenant URL  {scim_url(invocation, found)}\n  Id          {found.id}"
    invocation.show(_described(invocation, found), words)


@command(tenant, "set-limit", example="rollhouse tenant set-limit acme --rate 100 --burst 400")
@click.argument("slug")
@click.option("--rate", type=click.IntRange(0, RATE_LIMIT), required=True, help="Sustained requests a second; 0 switches the limit off.")
@click.option("--burst", type=click.IntRange(0, RATE_LIMIT), required=True, help="Requests at once after a pause.")
@pass_invocation
def set_limit(invocation: Invocation, slug: str, rate: int, burst: int) -> None:
    """Give a tenant its own rate limit; effective within five seconds."""
    if rate and not burst:
        raise click.BadParameter("a tenant that may make requests needs a burst of at least 1", param_hint="--burst")
    found = invocation.run(lambda database: directory.set_limit(database, slug, rate, burst, cause=invocation.cause))
    invocation.show(_described(invocation, found), f"{found.slug}: {_limit(found)}, effective within five seconds.")


@command(tenant, "profile", example="rollhouse tenant profile acme --strict")
@click.argument("slug")
@click.option("--strict/--lenient", default=None, help="Refuse what the RFCs do not allow, for conformance runs; lenient is usual.")
@click.option("--patch-answer", type=click.Choice(get_args(PatchAnswer)), help="Answer PATCH with the resource, with nothing (204), or as usual.")
@click.option("--indirect-groups/--direct-groups", default=None, help="Show a user the groups, too, that it belongs to through other groups.")
@click.option("--group-members/--no-group-members", default=None, help="Serve memberships as resources under /GroupMembers.")
@click.option("--members-shown", metavar="NUMBER", help="Most members that a group is shown with, or `all`.")
@pass_invocation
def profile(invocation: Invocation, /, slug: str, members_shown: str | None, **choices: Any) -> None:
    """Show how a tenant is answered where the standards or its client leave a choice, or change that; effective within five seconds."""
    wanted = {name: value for name, value in choices.items() if value is not None}
    if members_shown is not None:
        if members_shown != "all" and not (members_shown.isdecimal() and int(members_shown) <= MEMBERS_LIMIT):
            raise click.BadParameter(f"give a number from 0 to {MEMBERS_LIMIT}, or all", param_hint="--members-shown")
        wanted["members_shown"] = None if members_shown == "all" else int(members_shown)

    async def work(database: Database) -> Tenant:
        found = await directory.find_tenant(database, slug)
        if not wanted:
            return found
        return await directory.set_profile(database, slug, msgspec.structs.replace(found.profile, **wanted), cause=invocation.cause, expected=found.version)

    shown = directory.profile_view(invocation.run(work).profile)
    invocation.show(shown, "\n".join(f"{name:<16} {value}" for name, value in shown.items()))


@command(secret, "create", example='rollhouse secret create acme --label "Entra, production" --expires 2027-06-30')
@click.argument("slug")
@click.option("--label", help="What it is for, for people.")
@click.option("--expires", help="A date (2027-06-30), a time (2027-06-30T12:00:00Z) or days from now (90d). Default: never.")
@click.option("--subject", type=click.UUID, metavar="ID", help="The resource that the secret speaks for: it is /Me then. Default: none.")
@pass_invocation
def create_secret(invocation: Invocation, slug: str, label: str | None, expires: str | None, subject: UUID | None) -> None:
    """Create a SCIM secret. It is shown this once and stored nowhere."""
    moment = moment_of(expires)
    peppers = invocation.peppers

    async def work(database: Database) -> Any:
        found = await directory.find_tenant(database, slug)
        return await credentials.create_secret(database, peppers, found, label=label, expires=moment, subject_id=subject, cause=invocation.cause)

    made = invocation.run(work)
    invocation.show({"id": made.id, "secret": made.minted.secret, "prefix": made.minted.prefix}, made.minted.secret)
    invocation.say(f"Paste it into the identity provider now: it is not shown again. Its name is {made.minted.prefix}.")
    if made.warning:
        invocation.say(f"Warning: {made.warning}")


@command(secret, "list", example="rollhouse secret list acme")
@click.argument("slug")
@pass_invocation
def list_secrets(invocation: Invocation, slug: str) -> None:
    """List a tenant's secrets, never the secrets themselves."""

    async def work(database: Database) -> list[credentials.Credential]:
        return await credentials.list_secrets(database, await directory.find_tenant(database, slug))

    found = invocation.run(work)
    data = [
        {
            "id": one.id,
            "prefix": one.prefix,
            "label": one.label,
            "state": one.state,
            "created": one.created,
            "created_by": one.created_by,
            "expires": one.expires,
            "revoked": one.revoked,
            "last_used": one.last_used,
        }
        for one in found
    ]
    lines = [f"{one.prefix:<20} {one.state:<8} made {one.created:%Y-%m-%d}  {_expiry(one):<18}  {_last_use(one):<21}  {one.label or ''}" for one in found]
    invocation.show(data, "\n".join(lines) or f"{slug} has no secret yet: rollhouse secret create {slug}")


@command(secret, "revoke", example="rollhouse secret revoke acme scimsk_0a1B2c3D4e5F")
@click.argument("slug")
@click.argument("name")
@pass_invocation
def revoke(invocation: Invocation, slug: str, name: str) -> None:
    """Revoke a secret by its prefix or id; refused everywhere within a second, five at the worst."""

    async def work(database: Database) -> credentials.Credential:
        return await credentials.revoke_secret(database, await directory.find_tenant(database, slug), name, cause=invocation.cause)

    found = invocation.run(work)
    invocation.show({"id": found.id, "prefix": found.prefix, "state": found.state, "revoked": found.revoked}, f"{found.prefix} is revoked.")


def _expiry(one: credentials.Credential) -> str:
    return f"expires {one.expires:%Y-%m-%d}" if one.expires else "no expiry"


def _last_use(one: credentials.Credential) -> str:
    return f"last used {one.last_used:%Y-%m-%d}" if one.last_used else "never used"
