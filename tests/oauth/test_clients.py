"""OAuth clients and their secrets: bounds, life, and a row in the audit for each change."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rollhouse.database.pool import Database
from rollhouse.journal import audit
from rollhouse.journal.audit import Cause
from rollhouse.scim.errors import Conflict, InvalidValue, NotFound, Unauthorized
from rollhouse.tenancy import oauth
from rollhouse.tenancy.federation import KeyHosts, Trust
from rollhouse.tenancy.oauth import AuthenticatedClient, Client, NewToken
from rollhouse.tenancy.secrets import CLIENT_SECRET_PREFIX
from rollhouse.tenancy.tenants import Tenant
from tests.oauth.conftest import PEPPERS
from tests.oauth.issuer import AUDIENCE, ENTRA_TENANT, ISSUER, SUBJECT

CAUSE = Cause("cli", "test")
HOSTS = KeyHosts.parse("login.microsoftonline.com")
KEYS = f"https://login.microsoftonline.com/{ENTRA_TENANT}/discovery/v2.0/keys"


def trust(**changed: Any) -> Trust:
    return Trust(**{"issuer": ISSUER, "jwks_url": KEYS, "subject": SUBJECT, "audience": AUDIENCE} | changed)


async def new_client(database: Database, tenant: Tenant, **changed: Any) -> Client:
    return await oauth.create_client(database, tenant, **{"kind": "secret", "hosts": HOSTS, "cause": CAUSE} | changed)


async def test_every_change_of_a_client_has_its_row_in_the_audit(database: Database, tenant: Tenant) -> None:
    client = await new_client(database, tenant)
    made = await oauth.create_client_secret(database, PEPPERS, tenant, str(client.id), cause=CAUSE)
    await oauth.revoke_client_secret(database, tenant, str(client.id), made.minted.prefix, cause=CAUSE)
    await oauth.revoke_client(database, tenant, str(client.id), cause=CAUSE)

    rows = [(one.action, one.target_type, one.target_id) for one in await audit.list_entries(database, tenant.id) if "client" in one.action]

    assert rows == [
        ("client.created", "OAuthClient", str(client.id)),
        ("client_secret.created", "Credential", str(made.id)),
        ("client_secret.revoked", "Credential", str(made.id)),
        ("client.revoked", "OAuthClient", str(client.id)),
    ]


async def test_a_client_is_listed_as_it_was_made(database: Database, tenant: Tenant) -> None:
    secret = await new_client(database, tenant, label="Entra", token_seconds=7200)
    federated = await new_client(database, tenant, kind="federated", trust=trust())

    assert await oauth.list_clients(database, tenant) == [secret, federated]
    assert (secret.label, secret.token_seconds, secret.state, secret.trust) == ("Entra", 7200, "active", None)
    assert federated.trust == trust(entra_tenant=ENTRA_TENANT)


async def test_a_tenants_clients_are_its_own(database: Database, tenant: Tenant, other_tenant: Tenant) -> None:
    client = await new_client(database, tenant)
    made = await oauth.create_client_secret(database, PEPPERS, tenant, str(client.id), cause=CAUSE)

    assert await oauth.list_clients(database, other_tenant) == []
    with pytest.raises(NotFound):
        await oauth.create_client_secret(database, PEPPERS, other_tenant, str(client.id), cause=CAUSE)
    with pytest.raises(NotFound):
        await oauth.revoke_client(database, other_tenant, str(client.id), cause=CAUSE)
    with pytest.raises(NotFound):
        await oauth.revoke_client_secret(database, other_tenant, str(client.id), str(made.id), cause=CAUSE)
    with pytest.raises(NotFound):
        await oauth.list_client_secrets(database, other_tenant, str(client.id))


@pytest.mark.parametrize(
    "changed",
    [
        {"token_seconds": 3599},
        {"token_seconds": 21601},
        {"label": "x" * 201},
        {"label": "\x00"},
        {"trust": trust()},
        {"kind": "federated"},
        {"kind": "federated", "trust": trust(subject=" ")},
        {"kind": "federated", "trust": trust(audience="x" * 501)},
        {"kind": "federated", "trust": trust(issuer="a\x00b")},
        {"kind": "federated", "trust": trust(entra_tenant="contoso.onmicrosoft.com")},
        {"kind": "federated", "trust": trust(entra_tenant="99999999-2222-4333-8444-555555555555")},
    ],
)
async def test_a_client_that_cannot_work_is_refused(database: Database, tenant: Tenant, changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        await new_client(database, tenant, **changed)

    assert await oauth.list_clients(database, tenant) == []


async def test_a_client_secret_ends_in_a_year_by_default(database: Database, tenant: Tenant) -> None:
    client = await new_client(database, tenant)

    made = await oauth.create_client_secret(database, PEPPERS, tenant, str(client.id), label="first", cause=CAUSE)

    listed = await oauth.list_client_secrets(database, tenant, str(client.id))
    assert [(one.id, one.prefix, one.label, one.state) for one in listed] == [(made.id, made.minted.prefix, "first", "active")]
    assert made.minted.prefix.startswith(CLIENT_SECRET_PREFIX)
    assert listed[0].expires is not None
    assert abs(listed[0].expires - datetime.now(UTC) - timedelta(days=365)) < timedelta(minutes=5)


@pytest.mark.parametrize("life", [timedelta(hours=23), timedelta(days=-1), timedelta(days=1100)])
async def test_a_client_secret_ends_between_a_day_and_three_years_from_now(database: Database, tenant: Tenant, life: timedelta) -> None:
    client = await new_client(database, tenant)

    with pytest.raises(InvalidValue):
        await oauth.create_client_secret(database, PEPPERS, tenant, str(client.id), expires=datetime.now(UTC) + life, cause=CAUSE)


async def test_a_third_client_secret_warns_and_a_sixth_is_refused(database: Database, tenant: Tenant) -> None:
    client = await new_client(database, tenant)
    made = [await oauth.create_client_secret(database, PEPPERS, tenant, str(client.id), cause=CAUSE) for _ in range(5)]

    assert [one.warning is not None for one in made] == [False, False, True, True, True]
    with pytest.raises(Conflict, match=made[0].minted.prefix):
        await oauth.create_client_secret(database, PEPPERS, tenant, str(client.id), cause=CAUSE)
    await oauth.revoke_client_secret(database, tenant, str(client.id), str(made[0].id), cause=CAUSE)
    await oauth.create_client_secret(database, PEPPERS, tenant, str(client.id), cause=CAUSE)


async def test_a_federated_or_revoked_client_takes_no_secret(database: Database, tenant: Tenant) -> None:
    federated = await new_client(database, tenant, kind="federated", trust=trust())
    revoked = await new_client(database, tenant)
    await oauth.revoke_client(database, tenant, str(revoked.id), cause=CAUSE)

    with pytest.raises(InvalidValue):
        await oauth.create_client_secret(database, PEPPERS, tenant, str(federated.id), cause=CAUSE)
    with pytest.raises(Conflict):
        await oauth.create_client_secret(database, PEPPERS, tenant, str(revoked.id), cause=CAUSE)


async def test_a_tenant_has_at_most_20_live_clients(database: Database, tenant: Tenant) -> None:
    made = [await new_client(database, tenant) for _ in range(oauth.MOST_CLIENTS)]

    with pytest.raises(Conflict):
        await new_client(database, tenant)
    await oauth.revoke_client(database, tenant, str(made[0].id), cause=CAUSE)
    await new_client(database, tenant)


@pytest.mark.parametrize("name", ["nonsense", "", "00000000-0000-0000-0000-000000000000", "01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff"])
async def test_an_unknown_client_or_secret_is_not_found(database: Database, tenant: Tenant, name: str) -> None:
    client = await new_client(database, tenant)

    with pytest.raises(NotFound):
        await oauth.revoke_client(database, tenant, name, cause=CAUSE)
    with pytest.raises(NotFound):
        await oauth.revoke_client_secret(database, tenant, str(client.id), name, cause=CAUSE)


async def test_no_token_is_made_for_a_client_that_was_revoked_since_it_authenticated(database: Database, tenant: Tenant) -> None:
    client = await new_client(database, tenant)
    await oauth.revoke_client(database, tenant, str(client.id), cause=CAUSE)

    with pytest.raises(Unauthorized):
        await oauth.issue_token(database, PEPPERS, AuthenticatedClient(tenant.id, client.id), "test")


async def test_no_token_that_is_made_while_its_client_is_revoked_stays_alive(database: Database, tenant: Tenant) -> None:
    client = await new_client(database, tenant)
    issuing = [oauth.issue_token(database, PEPPERS, AuthenticatedClient(tenant.id, client.id), "test") for _ in range(12)]
    revoking = oauth.revoke_client(database, tenant, str(client.id), cause=CAUSE)

    done = await asyncio.gather(*issuing[:6], revoking, *issuing[6:], return_exceptions=True)

    async with database.transaction(tenant.id) as tx:
        rows = await tx.fetch("SELECT id, revoked FROM rollhouse.credentials WHERE kind = 'access_token'")
    assert {row["id"] for row in rows} == {one.id for one in done if isinstance(one, NewToken)}
    assert all(row["revoked"] is not None for row in rows)
    assert all(isinstance(one, NewToken | Client | Unauthorized) for one in done)


@pytest.mark.threat("T26")
@pytest.mark.parametrize("secret", ["", "no secret", "scimcs_" + "a" * 12 + "_" + "b" * 49])
async def test_a_mac_is_compared_also_for_a_secret_that_nobody_has(database: Database, tenant: Tenant, secret: str, monkeypatch) -> None:
    compared: list[tuple[int, int]] = []
    real = oauth.hmac.compare_digest

    def noting(left: bytes, right: bytes) -> bool:
        compared.append((len(left), len(right)))
        return real(left, right)

    monkeypatch.setattr(oauth.hmac, "compare_digest", noting)
    with pytest.raises(Unauthorized):
        await oauth.authenticate_by_secret(database, PEPPERS, tenant.slug, "nobody", secret)

    assert (32, 32) in compared
