"""`rollhouse client`: a tenant's OAuth clients and their secrets."""

from datetime import UTC, datetime
from typing import Any, get_args

import click

from rollhouse.cli.invocation import Invocation, Precondition, command, group, pass_invocation
from rollhouse.cli.root import rollhouse
from rollhouse.cli.tenants import scim_url
from rollhouse.database.pool import Database
from rollhouse.tenancy import oauth
from rollhouse.tenancy import tenants as directory
from rollhouse.tenancy.credentials import Credential, NewSecret
from rollhouse.tenancy.federation import KeyHosts, Trust
from rollhouse.tenancy.oauth import Client
from rollhouse.tenancy.tenants import Tenant


@group(rollhouse, "client")
def client() -> None:
    """Create, list and revoke OAuth clients and their secrets."""


def _urls(invocation: Invocation, found: Tenant) -> dict[str, str]:
    scim = scim_url(invocation, found)
    return {"token_url": f"{scim.removesuffix(found.path)}/t/{found.slug}/oauth2/token", "scim_url": scim}


def _hosts(invocation: Invocation) -> KeyHosts:
    try:
        return KeyHosts.parse(invocation.settings.federation_hosts)
    except ValueError as error:
        raise Precondition(f"ROLLHOUSE_FEDERATION_HOSTS cannot be used: {error}.") from None


def _trust(kind: str, issuer: str | None, jwks_url: str | None, subject: str | None, audience: str | None, entra_tenant: str | None) -> Trust | None:
    given = (issuer, jwks_url, subject, audience)
    if kind == "secret":
        if any((*given, entra_tenant)):
            raise click.UsageError("a client of kind secret takes no --issuer, --jwks-url, --subject, --audience or --entra-tenant")
        return None
    if issuer is None or jwks_url is None or subject is None or audience is None:
        raise click.UsageError("a federated client needs --issuer, --jwks-url, --subject and --audience")
    return Trust(issuer=issuer, jwks_url=jwks_url, subject=subject, audience=audience, entra_tenant=entra_tenant)


@command(client, "create", example='rollhouse client create acme --kind secret --label "Entra, production"')
@click.argument("slug")
@click.option("--kind", type=click.Choice(get_args(oauth.Kind)), required=True, help="Authenticate with secrets, or with an issuer's assertions.")
@click.option("--label", help="What it is for, for people.")
@click.option("--token-seconds", type=click.IntRange(oauth.TOKEN_SECONDS, oauth.TOKEN_SECONDS_LIMIT), default=oauth.TOKEN_SECONDS, help="Life of its tokens.")
@click.option("--issuer", help="Federated: the `iss` of its assertions, e.g. https://login.microsoftonline.com/<tenant id>/v2.0")
@click.option("--jwks-url", help="Federated: where the issuer's keys are, e.g. https://login.microsoftonline.com/<tenant id>/discovery/v2.0/keys")
@click.option("--subject", help="Federated: the `sub` of its assertions.")
@click.option("--audience", help="Federated: the `aud` of its assertions.")
@click.option("--entra-tenant", help="Federated: the `tid` of its assertions [default: the tenant that a Microsoft issuer names].")
@pass_invocation
def create(
    invocation: Invocation,
    slug: str,
    kind: oauth.Kind,
    label: str | None,
    token_seconds: int,
    issuer: str | None,
    jwks_url: str | None,
    subject: str | None,
    audience: str | None,
    entra_tenant: str | None,
) -> None:
    """Create an OAuth client of the tenant SLUG."""
    trust = _trust(kind, issuer, jwks_url, subject, audience, entra_tenant)
    hosts = _hosts(invocation)

    async def work(database: Database) -> tuple[Tenant, Client]:
        found = await directory.find_tenant(database, slug)
        made = await oauth.create_client(database, found, kind=kind, hosts=hosts, label=label, token_seconds=token_seconds, trust=trust, cause=invocation.cause)
        return found, made

    scim_url(invocation, Tenant(id=None, slug=slug, name="", status=""))  # type: ignore[arg-type]
    found, made = invocation.run(work)
    urls = _urls(invocation, found)
    words = f"Client {made.id} is ready.\n  Client ID   {made.id}\n  Token URL   {urls['token_url']}\n  SCIM URL    {urls['scim_url']}"
    following = f"\nNext: rollhouse client secret {slug} {made.id}" if kind == "secret" else ""
    invocation.show({**_described(made), **urls}, words + following)


@command(client, "list", example="rollhouse client list acme")
@click.argument("slug")
@pass_invocation
def list_(invocation: Invocation, slug: str) -> None:
    """List a tenant's OAuth clients."""

    async def work(database: Database) -> list[Client]:
        return await oauth.list_clients(database, await directory.find_tenant(database, slug))

    found = invocation.run(work)
    lines = [f"{one.id} {one.kind:<9} {one.state:<7} made {one.created:%Y-%m-%d}  {one.label or ''}" for one in found]
    words = "\n".join(lines) or f"{slug} has no client yet: rollhouse client create {slug} --kind secret"
    invocation.show([_described(one) for one in found], words)


@command(client, "revoke", example="rollhouse client revoke acme 01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff")
@click.argument("slug")
@click.argument("client_id")
@pass_invocation
def revoke(invocation: Invocation, slug: str, client_id: str) -> None:
    """Revoke a client with all its secrets and tokens; refused everywhere within a second, five at the worst."""

    async def work(database: Database) -> Client:
        return await oauth.revoke_client(database, await directory.find_tenant(database, slug), client_id, cause=invocation.cause)

    found = invocation.run(work)
    invocation.show(_described(found), f"Client {found.id} is revoked with its secrets and tokens.")


@command(client, "secret", example="rollhouse client secret acme 01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff --expires 2028-06-30")
@click.argument("slug")
@click.argument("client_id")
@click.option("--label", help="What it is for, for people.")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]), help="A date or a time in UTC, at most 3 years ahead [default: in a year].")
@pass_invocation
def create_secret(invocation: Invocation, slug: str, client_id: str, label: str | None, expires: datetime | None) -> None:
    """Create a secret of a client. It is shown this once and stored nowhere."""
    peppers = invocation.peppers
    moment = expires.replace(tzinfo=UTC) if expires is not None else None

    async def work(database: Database) -> tuple[Tenant, NewSecret]:
        found = await directory.find_tenant(database, slug)
        return found, await oauth.create_client_secret(database, peppers, found, client_id, label=label, expires=moment, cause=invocation.cause)

    scim_url(invocation, Tenant(id=None, slug=slug, name="", status=""))  # type: ignore[arg-type]
    found, made = invocation.run(work)
    urls = _urls(invocation, found)
    shown = {"id": made.id, "client_id": client_id, "secret": made.minted.secret, "prefix": made.minted.prefix, **urls}
    invocation.show(shown, made.minted.secret)
    invocation.say(f"Paste it into the identity provider now, with the client ID {client_id}: it is not shown again. Its name is {made.minted.prefix}.")
    invocation.say(f"  Token URL   {urls['token_url']}\n  SCIM URL    {urls['scim_url']}")
    if made.warning:
        invocation.say(f"Warning: {made.warning}")


@command(client, "secrets", example="rollhouse client secrets acme 01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff")
@click.argument("slug")
@click.argument("client_id")
@pass_invocation
def list_secrets(invocation: Invocation, slug: str, client_id: str) -> None:
    """List a client's secrets, never the secrets themselves."""

    async def work(database: Database) -> list[Credential]:
        return await oauth.list_client_secrets(database, await directory.find_tenant(database, slug), client_id)

    found = invocation.run(work)
    lines = [f"{one.prefix:<20} {one.state:<8} made {one.created:%Y-%m-%d}  expires {one.expires:%Y-%m-%d}  {one.label or ''}" for one in found]
    words = "\n".join(lines) or f"The client has no secret yet: rollhouse client secret {slug} {client_id}"
    invocation.show([_described_secret(one) for one in found], words)


@command(client, "revoke-secret", example="rollhouse client revoke-secret acme 01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff scimcs_0a1B2c3D4e5F")
@click.argument("slug")
@click.argument("client_id")
@click.argument("name")
@pass_invocation
def revoke_secret(invocation: Invocation, slug: str, client_id: str, name: str) -> None:
    """Revoke a client's secret by its prefix or id; its tokens live on until their end."""

    async def work(database: Database) -> Credential:
        found = await directory.find_tenant(database, slug)
        return await oauth.revoke_client_secret(database, found, client_id, name, cause=invocation.cause)

    found = invocation.run(work)
    invocation.show(_described_secret(found), f"{found.prefix} is revoked.")


def _described(one: Client) -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": one.kind,
        "label": one.label,
        "state": one.state,
        "token_seconds": one.token_seconds,
        "issuer": one.issuer,
        "jwks_url": one.jwks_url,
        "subject": one.subject,
        "audience": one.audience,
        "entra_tenant": one.entra_tenant,
        "created": one.created,
        "created_by": one.created_by,
        "revoked": one.revoked,
    }


def _described_secret(one: Credential) -> dict[str, Any]:
    return {
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
