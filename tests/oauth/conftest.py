"""A service that trusts an issuer on this machine, and tenants of it with OAuth clients."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.tenancy import oauth
from rollhouse.tenancy.federation import KeyHosts, Trust
from rollhouse.tenancy.oauth import Client
from rollhouse.tenancy.secrets import Peppers
from rollhouse.tenancy.tenants import Tenant
from tests.conftest import PEPPER, Cluster, new_tenant
from tests.oauth.issuer import AUDIENCE, ISSUER, SUBJECT, Issuer
from tests.servers.service import Serving

PEPPERS = Peppers.parse(PEPPER)
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture(scope="session")
async def issuer() -> AsyncIterator[Issuer]:
    started = Issuer()
    await started.start()
    yield started
    await started.stop()


@pytest.fixture(scope="session")
def hosts(issuer: Issuer) -> KeyHosts:
    return KeyHosts.parse(f"login.microsoftonline.com,{issuer.origin}")


@pytest.fixture(scope="session")
def trusting(issuer: Issuer, embedded_cluster: Cluster, folder: Path) -> Iterator[Serving]:
    """The served process; apart from the shared one, since that trusts Microsoft's hosts only."""
    serving = Serving(
        folder / "oauth.log",
        {
            "ROLLHOUSE_DATABASE_URL": embedded_cluster.app_url,
            "ROLLHOUSE_PEPPERS": PEPPER,
            "ROLLHOUSE_FEDERATION_HOSTS": f"login.microsoftonline.com,{issuer.origin}",
        },
    )
    serving.start()
    yield serving
    assert serving.stop() == 0


@pytest.fixture(scope="session")
async def oauth_database(embedded_cluster: Cluster) -> AsyncIterator[Database]:
    opened = Database(embedded_cluster.app_url, connections=4)
    await opened.open()
    yield opened
    await opened.close()


class Party:
    """A fresh tenant with one client of each kind, and the requests that they make."""

    def __init__(self, serving: Serving, database: Database, tenant: Tenant, client: Client, secret: str) -> None:
        self.serving = serving
        self.database = database
        self.tenant = tenant
        self.client = client
        self.secret = secret
        self.http = httpx.AsyncClient(timeout=30)

    @property
    def token_url(self) -> str:
        return f"{self.serving.url}/t/{self.tenant.slug}/oauth2/token"

    @property
    def revocation_url(self) -> str:
        return f"{self.serving.url}/t/{self.tenant.slug}/oauth2/revoke"

    def form(self, **changed: str | None) -> dict[str, str]:
        """The form of client_secret_post; a change to None leaves a parameter out."""
        usual = {"grant_type": "client_credentials", "client_id": str(self.client.id), "client_secret": self.secret}
        return {name: value for name, value in (usual | changed).items() if value is not None}

    async def post(self, form: dict[str, str], *, url: str | None = None, **keywords: Any) -> httpx.Response:
        return await self.http.post(url or self.token_url, data=form, **keywords)

    async def token(self) -> str:
        response = await self.post(self.form())
        assert response.status_code == 200, response.text
        return str(response.json()["access_token"])

    async def users(self, token: str) -> httpx.Response:
        """The answer to a SCIM request with the token."""
        return await self.http.get(f"{self.serving.url}{self.tenant.path}/Users", headers={"authorization": f"Bearer {token}"})

    async def federate(self, hosts: KeyHosts, url: str, **changed: Any) -> Client:
        trust = Trust(**{"issuer": ISSUER, "jwks_url": url, "subject": SUBJECT, "audience": AUDIENCE} | changed)
        return await oauth.create_client(self.database, self.tenant, kind="federated", hosts=hosts, trust=trust, cause=UNATTENDED)

    async def assert_with(self, client: Client, assertion: str) -> httpx.Response:
        """The answer to an assertion of the client's."""
        form = {"grant_type": "client_credentials", "client_id": str(client.id), "client_assertion_type": JWT_BEARER, "client_assertion": assertion}
        return await self.post({**form, "scope": "scim"})


async def new_party(serving: Serving, database: Database, hosts: KeyHosts) -> Party:
    tenant = await new_tenant(database)
    client = await oauth.create_client(database, tenant, kind="secret", hosts=hosts, cause=UNATTENDED)
    made = await oauth.create_client_secret(database, PEPPERS, tenant, str(client.id), cause=UNATTENDED)
    return Party(serving, database, tenant, client, made.minted.secret)


@pytest.fixture
async def party(trusting: Serving, oauth_database: Database, hosts: KeyHosts) -> AsyncIterator[Party]:
    made = await new_party(trusting, oauth_database, hosts)
    yield made
    await made.http.aclose()


@pytest.fixture
async def other_party(trusting: Serving, oauth_database: Database, hosts: KeyHosts) -> AsyncIterator[Party]:
    made = await new_party(trusting, oauth_database, hosts)
    yield made
    await made.http.aclose()
