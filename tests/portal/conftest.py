"""People of every role, signed in to the running service."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.tenancy import people, sessions, setup_links, tenants
from rollhouse.tenancy.sessions import Person
from rollhouse.tenancy.tenants import Tenant
from tests.conftest import new_tenant
from tests.servers.service import ScimClient, Serving

_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


class Visitor:
    """A browser without scripts: it keeps its cookie, and sends the token of the page that it saw last."""

    def __init__(self, url: str) -> None:
        self.http = httpx.AsyncClient(base_url=url, follow_redirects=False, timeout=30)
        self.csrf = ""

    async def get(self, path: str, **keywords: Any) -> httpx.Response:
        response = await self.http.get(path, **keywords)
        if found := _CSRF.search(response.text if "html" in response.headers.get("content-type", "") else ""):
            self.csrf = found[1]
        return response

    async def post(self, path: str, form: dict[str, str] | None = None, **keywords: Any) -> httpx.Response:
        response = await self.http.post(path, data={"csrf": self.csrf, **(form or {})}, **keywords)
        if found := _CSRF.search(response.text):
            self.csrf = found[1]
        return response

    async def sign_in(self, database: Database, person: Person) -> "Visitor":
        token = await sessions.create_sign_in_link(database, person)
        await self.get(f"/signin/link/{token}")
        response = await self.post("/signin/link", {"token": token})
        assert response.status_code == 303, response.text
        await self.get(response.headers["location"])
        return self

    async def close(self) -> None:
        await self.http.aclose()


class People:
    """One of each role, and their tenant."""

    def __init__(self, tenant: Tenant, visitors: dict[str, Visitor], client: ScimClient) -> None:
        self.tenant = tenant
        self.visitors = visitors
        self.client = client
        self.base = f"/portal/{tenant.slug}"

    def __getitem__(self, role: str) -> Visitor:
        return self.visitors[role]


async def everybody(service: Serving, database: Database, client: ScimClient) -> People:
    """An operator, an admin and a viewer of the client's tenant, an admin of another one, a guest by setup link, and nobody."""
    tenant = await tenants.find_tenant(database, client.base_url.split("/")[4])
    foreign = await new_tenant(database)
    operator = await people.ensure_operator(database, "operator@rollhouse.example", cause=UNATTENDED)
    persons = {"operator": Person(operator_id=operator.id)}
    for name, of, role in (("admin", tenant, "admin"), ("viewer", tenant, "viewer"), ("stranger", foreign, "admin")):
        member = await people.add_member(database, of, f"{name}@acme.example", role, cause=UNATTENDED)  # type: ignore[arg-type]
        persons[name] = Person(tenant_id=of.id, member_id=member.id)
    visitors = {name: await Visitor(service.url).sign_in(database, person) for name, person in persons.items()}
    _, token = await setup_links.create_setup_link(database, tenant, "entra", cause=UNATTENDED)
    guest = Visitor(service.url)
    assert token in (await guest.get(f"/setup/{token}")).text
    assert (await guest.get("/setup")).status_code == 401, "looking at a link begins nothing"
    assert (await guest.post("/setup", {"token": token})).status_code == 303
    await guest.get("/setup")
    visitors |= {"guest": guest, "nobody": Visitor(service.url)}
    return People(tenant, visitors, client)


@pytest.fixture
async def visitors(service: Serving, service_database: Database, acme: ScimClient) -> AsyncIterator[People]:
    made = await everybody(service, service_database, acme)
    yield made
    for one in made.visitors.values():
        await one.close()
