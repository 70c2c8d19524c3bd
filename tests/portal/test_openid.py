"""Signing in by OpenID Connect, with a provider that speaks the real protocol: who gets in as whom, and every answer that lets nobody in."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from joserfc.jwk import RSAKey

from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.scim.errors import InvalidValue
from rollhouse.tenancy import openid, people
from rollhouse.tenancy.federation import KeyHosts
from rollhouse.tenancy.openid import Provider
from rollhouse.tenancy.secrets import Peppers
from rollhouse.tenancy.tenants import Tenant
from tests.conftest import PEPPER, Cluster, new_tenant
from tests.portal.conftest import Visitor
from tests.portal.openid_provider import CLIENT_ID, CLIENT_SECRET, OpenIdProvider
from tests.servers.service import Serving

PEPPERS = Peppers.parse(PEPPER)


@pytest.fixture
async def provider() -> AsyncIterator[OpenIdProvider]:
    made = await OpenIdProvider().start()
    yield made
    await made.stop()


@pytest.fixture
async def portal(provider: OpenIdProvider, embedded_cluster: Cluster, tmp_path: Path) -> AsyncIterator[Serving]:
    """A service whose operators sign in by that provider."""
    settings = {
        "ROLLHOUSE_DATABASE_URL": embedded_cluster.app_url,
        "ROLLHOUSE_PEPPERS": PEPPER,
        "ROLLHOUSE_FEDERATION_HOSTS": provider.issuer,
        "ROLLHOUSE_OIDC_ISSUER": provider.issuer,
        "ROLLHOUSE_OIDC_CLIENT_ID": CLIENT_ID,
        "ROLLHOUSE_OIDC_CLIENT_SECRET": CLIENT_SECRET,
        "ROLLHOUSE_OIDC_OPERATORS": "Boss@platform.example, chief@platform.example",
    }
    serving = Serving(tmp_path / "portal.log", settings)
    serving.start()
    yield serving
    assert serving.stop() == 0


async def company(database: Database, provider: OpenIdProvider, email: str, role: Any = "admin") -> Tenant:
    """A tenant with its own provider and one member."""
    tenant = await new_tenant(database)
    hosts = KeyHosts.parse(provider.issuer)
    await openid.set_provider(database, PEPPERS, hosts, tenant, Provider(provider.issuer, CLIENT_ID, CLIENT_SECRET), cause=UNATTENDED)
    await people.add_member(database, tenant, email, role, cause=UNATTENDED)
    return tenant


async def way(visitor: Visitor, **asked: str) -> httpx.Response:
    """The whole way to the provider and back, as a browser goes it."""
    there = await visitor.get("/signin/oidc", params=asked)
    assert there.status_code == 303, there.text
    async with httpx.AsyncClient() as elsewhere:
        back = await elsewhere.get(there.headers["location"])
    assert back.status_code == 302, back.text
    return await visitor.get(back.headers["location"])


async def test_an_operator_on_the_list_is_let_in_and_nobody_else(portal: Serving, provider: OpenIdProvider) -> None:
    visitor = Visitor(portal.url)
    provider.email = "boss@PLATFORM.example"
    answer = await way(visitor, next="/admin/platform")
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/platform")
    assert (await visitor.get("/admin/platform")).status_code == 200
    provider.email = "other@platform.example"
    other = Visitor(portal.url)
    assert (await way(other)).status_code == 401
    assert (await other.get("/admin")).status_code == 303
    for one in (visitor, other):
        await one.close()


async def test_a_member_signs_in_by_his_own_companys_provider(portal: Serving, provider: OpenIdProvider, service_database: Database) -> None:
    tenant = await company(service_database, provider, "ann@acme.example")
    provider.email = "Ann@acme.example"
    visitor = Visitor(portal.url)
    page = await visitor.get(f"/portal/{tenant.slug}/integrations")
    assert page.headers["location"] == f"/signin?next=%2Fportal%2F{tenant.slug}%2Fintegrations"
    assert f"/signin/oidc?tenant={tenant.slug}" in (await visitor.get(page.headers["location"])).text
    answer = await way(visitor, tenant=tenant.slug, next=f"/portal/{tenant.slug}/integrations")
    assert answer.headers["location"] == f"/portal/{tenant.slug}/integrations"
    assert (await visitor.get(answer.headers["location"])).status_code == 200
    assert (await visitor.get("/admin")).status_code == 403
    await visitor.close()


@pytest.mark.threat("T06")
async def test_an_address_is_bound_to_the_account_that_came_first(portal: Serving, provider: OpenIdProvider, service_database: Database) -> None:
    """Whoever gets the address later is another person."""
    tenant = await company(service_database, provider, "ann@acme.example")
    provider.email = "ann@acme.example"
    first = Visitor(portal.url)
    assert (await way(first, tenant=tenant.slug)).headers["location"] == f"/portal/{tenant.slug}"
    provider.changed = {"sub": "somebody else"}
    second = Visitor(portal.url)
    await way(second, tenant=tenant.slug)
    assert (await second.get(f"/portal/{tenant.slug}")).status_code == 303
    provider.changed = {"sub": "sub-ann@acme.example", "email": "ann.new-name@acme.example"}
    third = Visitor(portal.url)
    assert (await way(third, tenant=tenant.slug)).headers["location"] == f"/portal/{tenant.slug}", "the account is known by its subject"
    for one in (first, second, third):
        await one.close()


WRONG: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example"},
    "another client": {"aud": "another"},
    "many clients": {"aud": [CLIENT_ID, "another"]},
    "another nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "expired": {"exp": 1},
    "no end": {"exp": None},
    "not yet": {"nbf": 4102444800},
    "no subject": {"sub": None},
    "no address": {"email": None},
    "an address that nobody has verified": {"email_verified": False},
    "an address that is none": {"email": 5},
}


@pytest.mark.threat("T41")
@pytest.mark.parametrize("name", [*WRONG, "another key"])
async def test_a_wrong_id_token_lets_nobody_in(portal: Serving, provider: OpenIdProvider, service_database: Database, name: str) -> None:
    tenant = await company(service_database, provider, "ann@acme.example")
    provider.email = "ann@acme.example"
    provider.changed = WRONG.get(name, {})
    if name == "another key":
        provider.signs_with = RSAKey.generate_key(2048, {"kid": "portal"})
    visitor = Visitor(portal.url)
    await way(visitor, tenant=tenant.slug)

    assert (await visitor.get(f"/portal/{tenant.slug}")).headers["location"].startswith("/signin")
    await visitor.close()


@pytest.mark.threat("T36")
async def test_an_answer_is_taken_from_the_browser_that_asked_alone(portal: Serving, provider: OpenIdProvider, service_database: Database) -> None:
    tenant = await company(service_database, provider, "ann@acme.example")
    provider.email = "ann@acme.example"
    attacker, victim = Visitor(portal.url), Visitor(portal.url)
    there = await attacker.get("/signin/oidc", params={"tenant": tenant.slug})
    async with httpx.AsyncClient() as elsewhere:
        back = (await elsewhere.get(there.headers["location"])).headers["location"]
    for visitor in (victim, attacker):
        if visitor is victim:
            await victim.get("/signin/oidc", params={"tenant": tenant.slug})
            await victim.get(back)
            assert (await victim.get(f"/portal/{tenant.slug}")).status_code == 303
            await victim.get(back.replace("state=", "state=x"))
    await attacker.get(back + "x" * 10)
    assert (await attacker.get(f"/portal/{tenant.slug}")).status_code == 303
    for one in (attacker, victim):
        await one.close()


async def test_a_provider_that_is_away_or_unknown_is_said_so(portal: Serving, provider: OpenIdProvider, service_database: Database) -> None:
    tenant = await company(service_database, provider, "ann@acme.example")
    await provider.stop()
    visitor = Visitor(portal.url)
    assert (await visitor.get("/signin/oidc", params={"tenant": tenant.slug})).status_code == 503
    await provider.start()
    assert (await visitor.get("/signin/oidc", params={"tenant": "never-was"})).status_code == 404
    assert (await visitor.get("/signin/oidc/callback", params={"code": "x", "state": "y"})).status_code == 401
    await visitor.close()


@pytest.mark.threat("T33")
@pytest.mark.parametrize("issuer", ["http://169.254.169.254", "https://evil.example", "http://127.0.0.1:1", "file:///etc", ""])
async def test_an_issuer_must_be_where_the_operator_said(database: Database, tenant: Tenant, issuer: str) -> None:
    with pytest.raises(InvalidValue):
        await openid.set_provider(database, PEPPERS, KeyHosts.parse("login.microsoftonline.com"), tenant, Provider(issuer, "x"), cause=UNATTENDED)


@pytest.mark.threat("T27")
async def test_a_client_secret_is_stored_sealed(database: Database, tenant: Tenant) -> None:
    hosts = KeyHosts.parse("login.microsoftonline.com")
    wanted = Provider("https://login.microsoftonline.com/11111111-2222-4333-8444-555555555555/v2.0", "id", "canary-of-a-client-secret")
    await openid.set_provider(database, PEPPERS, hosts, tenant, wanted, cause=UNATTENDED)
    async with database.transaction(tenant.id) as tx:
        (row,) = await tx.fetch("SELECT * FROM rollhouse.identity_providers")
    assert b"canary" not in row["client_secret"]
    assert await openid.provider_of(database, PEPPERS, tenant) == msgspec.structs.replace(wanted, owns_addresses=True)
    other = Peppers.parse("1:" + PEPPER.partition(":")[2][::-1].replace("=", "") + "AAAA")
    assert (await openid.provider_of(database, other, tenant)).client_secret is None  # type: ignore[union-attr]
    await openid.set_provider(database, PEPPERS, hosts, tenant, None, cause=UNATTENDED)
    assert await openid.provider_of(database, PEPPERS, tenant) is None


@pytest.mark.threat("T06")
async def test_an_account_that_is_a_member_is_that_one_whatever_its_address(portal: Serving, provider: OpenIdProvider, service_database: Database) -> None:
    """Another was added with the address of today: he is not him, and stays free for whoever signs in first."""
    tenant = await company(service_database, provider, "ann@acme.example")
    provider.email = "ann@acme.example"
    first = Visitor(portal.url)
    await way(first, tenant=tenant.slug)
    await people.add_member(service_database, tenant, "bob@acme.example", "admin", cause=UNATTENDED)
    provider.changed = {"sub": "sub-ann@acme.example", "email": "bob@acme.example"}
    second = Visitor(portal.url)
    await way(second, tenant=tenant.slug)

    assert "ann@acme.example" in (await second.get(f"/portal/{tenant.slug}")).text
    assert [one.is_bound for one in await people.list_members(service_database, tenant)] == [True, False]
    for one in (first, second):
        await one.close()


@pytest.mark.threat("T06")
@pytest.mark.parametrize(("claims", "status"), [({}, 401), ({"email_verified": False}, 401), ({"xms_edov": "1"}, 303)])
async def test_the_platforms_provider_must_say_that_an_address_is_verified(portal: Serving, provider: OpenIdProvider, claims: Any, status: int) -> None:
    """Anybody can write an address into a directory of his own; Entra ID says it by xms_edov."""
    provider.email = "chief@platform.example"
    provider.changed = {"email_verified": None} | claims
    visitor = Visitor(portal.url)
    assert (await way(visitor)).status_code == status
    await visitor.close()


async def test_a_tenants_own_provider_owns_its_addresses(portal: Serving, provider: OpenIdProvider, service_database: Database) -> None:
    tenant = await company(service_database, provider, "eve@acme.example")
    provider.email = "eve@acme.example"
    provider.changed = {"email_verified": None}
    visitor = Visitor(portal.url)
    assert (await way(visitor, tenant=tenant.slug)).status_code == 303
    assert (await visitor.get(f"/portal/{tenant.slug}")).status_code == 200
    await visitor.close()
