"""What the dashboard says of people and teams: what changed before and after, how teams grew, which role they have, and what needs somebody."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx

from rollhouse.database.pool import Database
from rollhouse.directory import roles
from rollhouse.journal.audit import UNATTENDED
from rollhouse.tenancy import credentials, operators, tenants
from rollhouse.tenancy.secrets import Peppers
from tests.activity.test_request_log import logged
from tests.conftest import PEPPER
from tests.portal.conftest import People
from tests.servers.service import Serving


async def test_a_users_page_shows_each_change_before_and_after(visitors: People, service_database: Database) -> None:
    client = visitors.client
    user = await client.create_user(userName="ann", title="Engineer", emails=[{"value": "ann@acme.example", "type": "work"}])
    one = f"/Users/{user['id']}"
    await client.patch_operations(one, {"op": "replace", "path": "title", "value": "Director"})
    await client.patch_operations(one, {"op": "Replace", "path": "active", "value": "False"})
    await client.patch_operations(one, {"op": "remove", "path": "title"})
    await logged(service_database, client.tenant_id, 4)

    page = (await visitors["viewer"].get(f"{visitors.base}/users/{user['id']}")).text
    told = [re.sub(r"<[^>]+>", "|", line) for line in re.findall(r"<li><code>.*?</li>", page)]
    assert any("title" in line and "|Engineer|" in line and "|Director|" in line for line in told)
    assert any("active" in line and "True" in line and "False" in line for line in told)
    assert any("title" in line and "<del>" not in line and line.count("Director") == 1 for line in told)
    assert any("emails[work].value" in line for line in told), "the first one shows what was there from the start"
    assert "meta.version" not in page


async def test_a_group_shows_how_it_grew_and_which_role_it_has(visitors: People, service: Serving, service_database: Database) -> None:
    client = visitors.client
    users = [await client.create_user(userName=f"user{number}") for number in range(4)]
    group = await client.create_group(displayName="Admins", members=[{"value": users[0]["id"]}])
    one = f"/Groups/{group['id']}"
    await client.patch_operations(one, {"op": "add", "path": "members", "value": [{"value": user["id"]} for user in users[1:]]})
    await client.patch_operations(one, {"op": "remove", "path": f'members[value eq "{users[3]["id"]}"]'})
    where = f"{visitors.base}/groups/{group['id']}"
    page = (await visitors["viewer"].get(where)).text
    assert re.findall(r"<title>[^<]*: (\d+)</title>", page) == ["0", "1", "4", "3"]
    assert 'name="role"' not in page, "a viewer only looks"

    assert (await visitors["admin"].post(f"{where}/role", {"role": "superuser"})).status_code == 303
    assert "superuser" in (await visitors["viewer"].get(where)).text
    key = await operators.create_key(service_database, Peppers.parse(PEPPER), scopes=["directory:read"], cause=UNATTENDED)
    async with httpx.AsyncClient(base_url=service.url, headers={"authorization": f"Bearer {key.minted.secret}"}) as product:
        found = (await product.get(f"/api/v1/tenants/{visitors.tenant.slug}/roles")).json()
    assert found == {"items": [{"group_id": group["id"], "role": "superuser"}]}
    assert (await visitors["admin"].post(f"{where}/role", {"role": "x" * 101})).status_code == 400
    assert (await visitors["admin"].post(f"{visitors.base}/groups/{UUID(int=9)}/role", {"role": "x"})).status_code == 404
    assert (await visitors["admin"].post(f"{where}/role", {"role": ""})).status_code == 303
    assert await roles.list_roles(service_database, visitors.tenant.id) == []
    await visitors["admin"].post(f"{where}/role", {"role": "again"})
    await client.delete(one)
    assert await roles.list_roles(service_database, visitors.tenant.id) == []


async def test_a_secret_that_ends_soon_needs_somebody(visitors: People, service_database: Database) -> None:
    tenant = await tenants.create_tenant(
        service_database, "zzz-ends-soon", "Ends soon", cause=UNATTENDED
    )  # the last of all, on a page of its own: the list has five
    soon = datetime.now(UTC) + timedelta(days=5)
    later = datetime.now(UTC) + timedelta(days=60)
    for expires in (soon, later):
        await credentials.create_secret(service_database, Peppers.parse(PEPPER), tenant, cause=UNATTENDED, expires=expires)

    ends = await credentials.ending(service_database, 30)
    page = (await visitors["operator"].get("/admin?after=zzz")).text

    assert abs((ends[tenant.id] - soon).total_seconds()) < 1
    assert f'/portal/{tenant.slug}/integrations/other">Exchange the secret' in page


async def test_a_connection_that_goes_on_failing_is_warned_of_quarantine(visitors: People, service_database: Database) -> None:
    for _ in range(6):
        await visitors.client.get("/Users/none")
    await logged(service_database, visitors.client.tenant_id, 6)

    page = (await visitors["viewer"].get(visitors.base)).text

    assert "Failing" in page
    assert "Quarantine ahead" in page
    assert "What failed last" in page
