"""A secret of every kind, used in every flow, is afterwards found nowhere: not in the database, a log, a metric or the audit."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.settings import Settings
from rollhouse.tenancy import credentials, oauth, operators
from rollhouse.tenancy.federation import KeyHosts
from rollhouse.tenancy.secrets import Peppers
from rollhouse.tenancy.tenants import Tenant
from tests.conftest import PEPPER, Cluster, new_tenant
from tests.servers.service import Serving

GUESSABLE = 20
"""Characters of a secret that may be shown: its kind's prefix, its lookup id and the mark behind it."""


@pytest.fixture
async def serving(embedded_cluster: Cluster, folder: Path) -> AsyncIterator[Serving]:
    """A service with a log of its own."""
    one = Serving(folder / "canary.log", {"ROLLHOUSE_DATABASE_URL": embedded_cluster.app_url, "ROLLHOUSE_PEPPERS": PEPPER})
    one.start()
    yield one
    assert one.stop() == 0


async def use_everywhere(client: httpx.AsyncClient, base: str, tenant: Tenant, secret: str) -> set[int]:
    """Send a secret the right way and each wrong way; the statuses seen."""
    scim = base + tenant.path
    basic = base64.b64encode(f"x:{secret}".encode()).decode()
    requests = [
        *(("GET", scim + path, {"authorization": f"Bearer {secret}"}, None) for path in ("/Users", "/Users/none", "/ServiceProviderConfig", "/nowhere")),
        ("GET", base + "/t/another/scim/v2/Users", {"authorization": f"Bearer {secret}"}, None),
        ("GET", scim + "/Users", {"authorization": f"Bearer {secret}x"}, None),
        ("GET", scim + "/Users", {"authorization": f"Bearer Bearer {secret}"}, None),
        ("GET", scim + "/Users", {"authorization": secret}, None),
        ("GET", scim + "/Users", {"authorization": f"Basic {basic}"}, None),
        ("GET", scim + f"/Users?access_token={secret}", {}, None),
        ("GET", base + f"/t/{secret}/scim/v2/Users", {}, None),
        ("POST", scim + "/Users", {"authorization": f"Bearer {secret}"}, {"userName": f"canary-{secret[:19]}", "password": secret}),
        ("POST", scim + "/Users", {"authorization": f"Bearer {secret}"}, {"userName": 5, "nonsense": [secret]}),
        ("GET", base + "/api/v1/tenants", {"authorization": f"Bearer {secret}"}, None),
        ("POST", base + f"/t/{tenant.slug}/oauth2/token", {"authorization": f"Basic {basic}"}, None),
    ]
    return {(await client.request(method, url, headers=headers, json=body)).status_code for method, url, headers, body in requests}


async def everything_stored(url: str) -> str:
    """Every row of every table, as text."""
    admin = await asyncpg.connect(url)
    named = "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    tables = await admin.fetch(f"{named} WHERE n.nspname = 'rollhouse' AND c.relkind = 'r'")
    rows = [row[0] for (table,) in tables for row in await admin.fetch(f"SELECT t::text FROM {table} t")]
    await admin.close()
    return "\n".join(rows)


@pytest.mark.threat("T07")
@pytest.mark.threat("T27")
async def test_no_secret_is_found_anywhere(serving: Serving, embedded_cluster: Cluster, service_database: Database) -> None:
    peppers = Peppers.parse(PEPPER)
    tenant = await new_tenant(service_database)
    hosts = KeyHosts.parse(Settings().federation_hosts)
    made = await credentials.create_secret(service_database, peppers, tenant, cause=UNATTENDED)
    owner = await oauth.create_client(service_database, tenant, kind="secret", hosts=hosts, cause=UNATTENDED)
    client_secret = (await oauth.create_client_secret(service_database, peppers, tenant, str(owner.id), cause=UNATTENDED)).minted.secret
    key = (await operators.create_key(service_database, peppers, scopes=["tenants:read", "credentials:write"], cause=UNATTENDED)).minted.secret
    secrets = {"secret": made.minted.secret, "client secret": client_secret, "operator's key": key}
    statuses: set[int] = set()
    async with httpx.AsyncClient(timeout=30) as client:
        form = {"grant_type": "client_credentials", "client_id": str(owner.id), "client_secret": client_secret}
        secrets["access token"] = (await client.post(f"{serving.url}/t/{tenant.slug}/oauth2/token", data=form)).json()["access_token"]
        minting = {"authorization": f"Bearer {key}", "idempotency-key": "canary"}
        answer = await client.post(f"{serving.url}/api/v1/tenants/{tenant.slug}/credentials", headers=minting, json={})
        assert answer.status_code == 201, answer.text
        secrets["secret by the API"] = answer.json()["secret"]
        for secret in secrets.values():
            statuses |= await use_everywhere(client, serving.url, tenant, secret)
        admin = await asyncpg.connect(embedded_cluster.superuser_url)
        try:  # a fault of our own: 500, and its log
            await admin.execute("REVOKE EXECUTE ON FUNCTION rollhouse.hold_registry FROM rollhouse_app")
            for secret in secrets.values():
                statuses |= await use_everywhere(client, serving.url, tenant, secret)
        finally:
            await admin.execute("GRANT EXECUTE ON FUNCTION rollhouse.hold_registry TO rollhouse_app")
            await admin.close()
        metrics = (await client.get(serving.metrics_url)).text
    assert {200, 201, 400, 401, 404, 500} <= statuses

    places = {
        "database": await everything_stored(embedded_cluster.superuser_url),
        "log": serving.log.read_text(),
        "metrics": metrics,
        "log of Postgres": (embedded_cluster.server.folder / "server.log").read_text(),
    }
    assert str(tenant.id) in places["database"]
    assert "request.fault" in places["log"]
    found = [(kind, place) for kind, secret in secrets.items() for place, text in places.items() if secret[GUESSABLE:] in text]
    assert found == []
