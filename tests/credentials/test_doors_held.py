"""What an attacker found in the doors, each held shut by a test: pasted secrets, floods by strangers, keys that outlive themselves, tenants at their end."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from rollhouse.database.pool import SHARE, STRANGERS, Database
from rollhouse.journal import audit
from rollhouse.journal.audit import PLATFORM, UNATTENDED
from rollhouse.scim.errors import Conflict, NotFound, Unauthorized
from rollhouse.settings import Settings
from rollhouse.tenancy import access, credentials, lifecycle, oauth, operators, tenants
from rollhouse.tenancy.access import CredentialGate, WrongSecret
from rollhouse.tenancy.federation import KeyHosts
from rollhouse.tenancy.oauth import AuthenticatedClient
from rollhouse.tenancy.secrets import Peppers, mint_secret
from rollhouse.tenancy.tenants import Tenant
from tests.api.conftest import ApiClient, new_operator, operator, problem  # noqa: F401 - fixtures
from tests.audit.working import run
from tests.conftest import PEPPER, Cluster
from tests.servers.service import ScimClient, Serving

PEPPERS = Peppers.parse(PEPPER)
HOSTS = KeyHosts.parse(Settings().federation_hosts)


@pytest.mark.threat("T27")
async def test_a_pasted_secret_revokes_itself_and_is_never_echoed(database: Database, tenant: Tenant) -> None:
    """In a hurry somebody pastes the secret instead of its name."""
    made = await credentials.create_secret(database, PEPPERS, tenant, cause=UNATTENDED)
    assert (await credentials.revoke_secret(database, tenant, f" {made.minted.secret}\n", cause=UNATTENDED)).state == "revoked"
    key = await operators.create_key(database, PEPPERS, scopes=["tenants:read"], cause=UNATTENDED)
    assert (await operators.revoke_key(database, key.minted.secret, cause=UNATTENDED)).state == "revoked"

    for refused in (
        credentials.revoke_secret(database, tenant, mint_secret().secret, cause=UNATTENDED),
        operators.revoke_key(database, mint_secret("scimok_").secret, cause=UNATTENDED),
    ):
        with pytest.raises(NotFound) as caught:
            await refused
        assert len(caught.value.detail.split('"')[1]) == 12, "the lookup id alone"
    stranger = mint_secret().secret
    with pytest.raises(NotFound) as caught:
        await credentials.revoke_secret(database, tenant, stranger[:40], cause=UNATTENDED)
    assert stranger[20:40] not in caught.value.detail


@pytest.mark.threat("T37")
@pytest.mark.threat("T38")
async def test_strangers_wait_for_themselves_and_push_nobody_out(database: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look-ups for whoever has proven nothing have one share of the connections together, and a memory of their own."""
    monkeypatch.setattr(access, "CACHE_ENTRIES", 5)
    gate = CredentialGate(database, PEPPERS)
    made = await credentials.create_secret(database, PEPPERS, tenant, cause=UNATTENDED)
    await gate.access_by(tenant.slug, made.minted.secret, is_read=True)
    most = 0
    fetch = database._fetch

    async def watching(key: UUID | None, *arguments: Any, **keywords: Any) -> Any:
        nonlocal most
        assert key == STRANGERS
        answer = await fetch(key, *arguments, **keywords)
        most = max(most, database.turns._taken.get(STRANGERS, 0))
        return answer

    monkeypatch.setattr(database, "_fetch", watching)

    async def guess() -> None:
        with pytest.raises(WrongSecret):
            await gate.access_by(tenant.slug, mint_secret().secret, is_read=True)

    await asyncio.gather(*(guess() for _ in range(60)))
    assert most <= 8 // SHARE
    assert len(gate._unknown) == 5
    assert [known.access.tenant.id for known in gate._known.values() if known.access is not None] == [tenant.id]
    await gate.access_by(tenant.slug, made.minted.secret, is_read=True)


@pytest.mark.threat("T28")
async def test_a_key_hands_on_no_longer_life_than_its_own(service: Serving, service_database: Database) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    made = await operators.create_key(service_database, PEPPERS, scopes=["keys:write"], expires=end, cause=UNATTENDED)
    client = ApiClient(service.url, made.minted.secret, str(made.key.id))

    for expires in (None, "2099-01-01T00:00:00Z"):
        found = problem(await client.post("/keys", {"scopes": ["keys:write"], "expires": expires}), 403)
        assert "earlier" in found["detail"]
    soon = (end - timedelta(minutes=1)).isoformat()
    assert (await client.post("/keys", {"scopes": ["keys:write"], "expires": soon})).status_code == 201
    await client.close()


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59.999999-14:00", "0001-01-01T00:00:00+14:00"])
async def test_an_expiry_that_no_database_holds_is_the_clients_mistake(operator: ApiClient, embedded_cluster: Cluster, moment: str) -> None:  # noqa: F811
    tenant = await operator.create_tenant()
    problem(await operator.post("/keys", {"scopes": ["keys:write"], "expires": moment}), 400)
    problem(await operator.post(f"/tenants/{tenant['slug']}/credentials", {"expires": moment}), 400)
    assert run(embedded_cluster, "secret", "create", tenant["slug"], "--expires", moment, ROLLHOUSE_PEPPERS=PEPPER).returncode == 2


async def test_nothing_is_made_for_a_tenant_at_its_end(database: Database, tenant: Tenant) -> None:
    client = await oauth.create_client(database, tenant, kind="secret", hosts=HOSTS, cause=UNATTENDED)
    await lifecycle.delete_tenant(database, tenant.slug, cause=UNATTENDED)

    with pytest.raises(Conflict, match="being deleted"):
        await credentials.create_secret(database, PEPPERS, tenant, cause=UNATTENDED)
    with pytest.raises(Conflict, match="being deleted"):
        await oauth.create_client(database, tenant, kind="secret", hosts=HOSTS, cause=UNATTENDED)
    with pytest.raises(Unauthorized):
        await oauth.issue_token(database, PEPPERS, AuthenticatedClient(tenant.id, client.id), "-")
    gone = Tenant(id=uuid4(), slug="gone", name="", status="active")
    with pytest.raises(Conflict, match="being deleted"):
        await credentials.create_secret(database, PEPPERS, gone, cause=UNATTENDED)


@pytest.mark.threat("T45")
@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_token_lives_by_the_databases_clock(database: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    client = await oauth.create_client(database, tenant, kind="secret", hosts=HOSTS, cause=UNATTENDED)

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(hours=hours)

    monkeypatch.setattr(oauth, "datetime", Wrong)
    made = await oauth.issue_token(database, PEPPERS, AuthenticatedClient(tenant.id, client.id), "-")

    async with database.transaction(tenant.id) as tx:
        left = await tx.fetch("SELECT extract(epoch FROM expires - clock_timestamp())::float AS left FROM rollhouse.credentials WHERE id = $1", made.id)
    assert 3590 < left[0]["left"] <= 3600


async def test_a_burst_of_its_own_counts_without_a_rate_of_its_own(operator: ApiClient, acme: ScimClient) -> None:  # noqa: F811
    slug = acme.base_url.split("/")[4]
    tenant = await operator.create_tenant()
    made = await operator.post(f"/tenants/{tenant['slug']}/credentials", {})
    client = ScimClient(acme.base_url.replace(slug, tenant["slug"]), made.json()["secret"])
    assert (await operator.request("PATCH", f"/tenants/{tenant['slug']}", json={"burst": 10})).status_code == 200

    assert (await client.get("/Users")).headers["ratelimit-policy"].startswith('"tenant";q=10;')
    await client.close()


async def test_the_platforms_own_audit_can_be_read(operator: ApiClient, embedded_cluster: Cluster, service_database: Database) -> None:  # noqa: F811
    made = await operators.create_key(service_database, PEPPERS, scopes=["tenants:read"], cause=UNATTENDED)
    listed = run(embedded_cluster, "audit", "list", "(platform)", "--limit", "5")
    assert listed.returncode == 0, listed.stderr
    assert str(made.key.id) in listed.stdout
    async with service_database.transaction(PLATFORM) as tx:
        (newest,) = await audit.newest_entries(tx, limit=1)
    assert newest.target_id == str(made.key.id)
    found = []
    after = ""
    while after is not None:
        page = (await operator.get("/audit", params={"limit": 200, **({"after": after} if after else {})})).json()
        found += page["items"]
        after = page["next"]
    assert str(made.key.id) in [one["target_id"] for one in found]
    lesser = await new_operator_of(operator, service_database)
    assert (await lesser.get("/audit")).status_code == 403
    await lesser.close()


async def new_operator_of(client: ApiClient, database: Database) -> ApiClient:
    made = await operators.create_key(database, PEPPERS, scopes=["tenants:read"], cause=UNATTENDED)
    return ApiClient(str(client.http.base_url).removesuffix("/api/v1/"), made.minted.secret, str(made.key.id))


@pytest.mark.threat("T43")
async def test_a_probe_says_that_something_is_wrong_and_not_what(embedded_cluster: Cluster, tmp_path: Any) -> None:
    url = embedded_cluster.app_url.replace("rollhouse_app", "no_such_role")
    serving = Serving(tmp_path / "wrong.log", {"ROLLHOUSE_DATABASE_URL": url, "ROLLHOUSE_PEPPERS": PEPPER})
    with pytest.raises(AssertionError, match="not ready"):
        serving.start(seconds=3)
    for path in ("/readyz", "/startupz"):
        async with httpx.AsyncClient() as client:
            answer = await client.get(serving.url + path)
        assert answer.status_code == 503
        assert "no_such_role" not in answer.text
        assert "rollhouse doctor" in answer.text
    assert serving.stop() == 0
    assert "no_such_role" in serving.log.read_text()


async def test_slugs_and_tenants_of_pages_are_looked_up_by_id(database: Database, tenant: Tenant) -> None:
    assert (await tenants.tenant_by_id(database, tenant.id)).slug == tenant.slug
    with pytest.raises(NotFound):
        await tenants.tenant_by_id(database, uuid4())
