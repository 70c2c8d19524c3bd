"""`rollhouse api-key`: the keys with which operators use the admin API."""

import click

from rollhouse.cli.invocation import Invocation, command, group, moment_of, pass_invocation
from rollhouse.cli.root import rollhouse
from rollhouse.database.pool import Database
from rollhouse.tenancy import operators
from rollhouse.tenancy.operators import SCOPES, NewKey, OperatorKey


@group(rollhouse, "api-key")
def api_key() -> None:
    """Create, list and revoke operators' keys for the admin API."""


@command(api_key, "create", example="rollhouse api-key create --scope tenants:read --scope usage:read --label billing --expires 90d")
@click.option("--scope", "scopes", multiple=True, required=True, help=f"What the key allows; give it again for more. One of: {', '.join(SCOPES)}.")
@click.option("--label", help="What it is for, for people.")
@click.option("--expires", help="A date (2027-06-30), a time (2027-06-30T12:00:00Z) or days from now (90d). Default: never.")
@pass_invocation
def create(invocation: Invocation, scopes: tuple[str, ...], label: str | None, expires: str | None) -> None:
    """Create an operator's key. It is shown this once and stored nowhere."""
    moment = moment_of(expires)
    peppers = invocation.peppers

    async def work(database: Database) -> NewKey:
        return await operators.create_key(database, peppers, scopes=scopes, label=label, expires=moment, cause=invocation.cause)

    made = invocation.run(work)
    invocation.show({"id": made.key.id, "key": made.minted.secret, "prefix": made.key.prefix}, made.minted.secret)
    invocation.say(f"Put it where the operator's program reads it: it is not shown again. Its name is {made.key.prefix}.")


@command(api_key, "list", example="rollhouse api-key list --json")
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List operators' keys, never the keys themselves."""
    found = invocation.run(_every_key)
    data = [
        {
            "id": one.id,
            "prefix": one.prefix,
            "label": one.label,
            "scopes": one.scopes,
            "state": one.state,
            "created": one.created,
            "created_by": one.created_by,
            "expires": one.expires,
            "revoked": one.revoked,
            "last_used": one.last_used,
        }
        for one in found
    ]
    lines = [f"{one.prefix:<20} {one.state:<8} {_last_use(one):<21}  {', '.join(one.scopes)}  {one.label or ''}".rstrip() for one in found]
    invocation.show(data, "\n".join(lines) or "There is no key yet: rollhouse api-key create --scope tenants:read")


@command(api_key, "revoke", example="rollhouse api-key revoke scimok_0a1B2c3D4e5F")
@click.argument("name")
@pass_invocation
def revoke(invocation: Invocation, name: str) -> None:
    """Revoke an operator's key by its prefix or id; the next request that carries it is refused."""

    async def work(database: Database) -> OperatorKey:
        return await operators.revoke_key(database, name, cause=invocation.cause)

    found = invocation.run(work)
    invocation.show({"id": found.id, "prefix": found.prefix, "state": found.state, "revoked": found.revoked}, f"{found.prefix} is revoked.")


async def _every_key(database: Database) -> list[OperatorKey]:
    found: list[OperatorKey] = []
    while page := await operators.list_keys(database, after=found[-1].id if found else None):
        found += page
    return found


def _last_use(one: OperatorKey) -> str:
    return f"last used {one.last_used:%Y-%m-%d}" if one.last_used else "never used"
