"""What the dashboard says of people and teams: what changed before and after, how teams grew, which role they have, and what needs somebody."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx

from rollhouse.activity import health, request_log
from rollhouse.database.pool import Database
from rollhouse.directory import browsing, roles
from rollhouse.directory.bulk import insert_resources
from rollhouse.directory.resources import Scope
from rollhouse.journal.audit import UNATTENDED
from rollhouse.scim.schemas import USER, USER_URN
from rollhouse.tenancy import credentials, lifecycle, operators, people, tenants
from rollhouse.tenancy.secrets import Peppers
from rollhouse.tenancy.sessions import Person
from tests.activity.test_request_log import logged
from tests.conftest import PEPPER, Cluster
from tests.portal.conftest import People, Visitor
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
    assert any("active" in line and "true" in line and "false" in line for line in told)
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
    tenant = await tenants.create_tenant(service_database, "zzz-ends-soon", "Ends soon", cause=UNATTENDED)
    soon = datetime.now(UTC) + timedelta(days=5)
    later = datetime.now(UTC) + timedelta(days=60)
    for expires in (soon, later):
        await credentials.create_secret(service_database, Peppers.parse(PEPPER), tenant, cause=UNATTENDED, expires=expires)

    needs = await health.needs_of_all(service_database, ending_days=30, limit=1000)
    page = (await visitors["operator"].get("/admin")).text

    (need,) = [one for one in needs if one.slug == tenant.slug]
    assert (need.state, need.of) == ("expiring", len(needs))
    assert need.at is not None
    assert abs((need.at - soon).total_seconds()) < 1
    assert page.count('class="secondary small"') == min(len(needs), 10)
    if len(needs) <= 10:
        assert f'/portal/{tenant.slug}/integrations/other">Exchange the secret' in page


async def test_whoever_fails_needs_somebody_wherever_he_stands_in_the_list(visitors: People, service_database: Database) -> None:
    """The list looks at all tenants, not at those whose tiles are shown; a suspended one needs nobody."""
    for _ in range(6):
        await visitors.client.get("/Users/none")
    await logged(service_database, visitors.client.tenant_id, 6)

    page = (await visitors["operator"].get("/admin?after=zzzzzz")).text
    assert "Look at the failures" in page
    needs = {one.slug: one.state for one in await health.needs_of_all(service_database, ending_days=30, limit=1000)}
    assert needs[visitors.tenant.slug] == "failing"
    assert [one for one in needs.values() if one == "failing"] == list(needs.values())[: list(needs.values()).count("failing")], "the urgent ones first"
    await lifecycle.suspend_tenant(service_database, visitors.tenant.slug, cause=UNATTENDED)
    assert visitors.tenant.slug not in {one.slug for one in await health.needs_of_all(service_database, ending_days=30, limit=1000)}


async def test_users_are_chosen_by_state(visitors: People) -> None:
    client = visitors.client
    for number in range(6):
        user = await client.create_user(userName=f"state{number}", active=number % 3 != 0)
        if number == 5:
            await client.patch_operations(f"/Users/{user['id']}", {"op": "replace", "path": "active", "value": False})
        if number == 0:
            await client.patch_operations(f"/Users/{user['id']}", {"op": "replace", "path": "active", "value": True})

    async def shown(query: str) -> list[str]:
        page = (await visitors["viewer"].get(f"{visitors.base}/users{query}")).text
        return re.findall(r'/users/[0-9a-f-]+">([^<]+)</a>', page)

    assert await shown("?state=inactive") == ["state5", "state3"]
    assert await shown("?state=active") == ["state4", "state2", "state1", "state0"]
    assert await shown("?state=inactive&q=state3") == ["state3"]
    assert await shown("?state=active&q=state3") == []
    assert await shown("?state=active&q=state") == ["state4", "state2", "state1", "state0"]
    page = (await visitors["viewer"].get(f"{visitors.base}/users?state=inactive")).text
    assert re.findall(r'<a href="[^"]*"( aria-current="true")?>(\w+) <small>(\d+)</small>', page) == [
        ("", "everybody", "6"),
        ("", "active", "4"),
        (' aria-current="true"', "inactive", "2"),
    ]


async def test_pages_of_active_users_go_on_behind_many_inactive_ones(database: Database, users: Scope) -> None:
    people = [{"schemas": [USER_URN], "userName": f"user{number:04}", "active": number % 50 == 0} for number in range(2100)]
    for start in range(0, len(people), 700):
        await insert_resources(database, users.tenant_id, USER, people[start : start + 700])
    found: list[str] = []
    pages, before = 0, None
    async with database.transaction(users.tenant_id) as tx:
        assert await browsing.count_inactive(tx) == 2058
        while pages == 0 or before is not None:
            page = await browsing.newest_resources(tx, "User", before=before, state="active")
            found += [one.user_name for one in page.found]
            before, pages = page.more, pages + 1
    assert found == [f"user{number:04}" for number in range(2050, -1, -50)]
    assert pages == 2


async def test_operators_see_the_newest_requests_of_all_and_the_same_failures_together(visitors: People, service_database: Database) -> None:
    for _ in range(3):
        await visitors.client.get("/Users/none")
    await visitors.client.create_user(userName="secretive@acme.example")
    await logged(service_database, visitors.client.tenant_id, 4)

    newest = await request_log.newest_of_all(service_database, limit=50)
    page = (await visitors["operator"].get("/admin/requests")).text

    assert [one.id for one in newest] == sorted((one.id for one in newest), reverse=True)
    assert [(one.method, one.status) for one in newest if one.slug == visitors.tenant.slug] == [("POST", 201), *[("GET", 404)] * 3]
    assert f'/portal/{visitors.tenant.slug}/activity/{newest[0].id}"' in page
    assert "secretive" not in page
    assert "<code>GET User 404</code>" in page


async def test_a_connection_that_goes_on_failing_is_warned_of_quarantine(visitors: People, service_database: Database) -> None:
    for _ in range(6):
        await visitors.client.get("/Users/none")
    await logged(service_database, visitors.client.tenant_id, 6)

    page = (await visitors["viewer"].get(visitors.base)).text

    assert "Failing" in page
    assert "Quarantine ahead" in page
    assert "What failed last" in page


async def test_the_platform_page_says_what_the_doctor_says(embedded_cluster: Cluster, service_database: Database, visitors: People, tmp_path: Path) -> None:
    assert "less than the 25" not in (await visitors["operator"].get("/admin/platform")).text
    settings = {"ROLLHOUSE_DATABASE_URL": embedded_cluster.app_url, "ROLLHOUSE_PEPPERS": PEPPER, "ROLLHOUSE_RATE_PER_SECOND": "10"}
    serving = Serving(tmp_path / "service.log", settings)
    serving.start()
    operator = await people.ensure_operator(service_database, "doctor@rollhouse.example", cause=UNATTENDED)
    visitor = await Visitor(serving.url).sign_in(service_database, Person(operator_id=operator.id))
    try:
        page = (await visitor.get("/admin/platform")).text
    finally:
        await visitor.close()
        assert serving.stop() == 0
    assert "less than the 25 that Entra ID wants of each tenant; cure: raise it" in page
    assert "Nothing is wrong" not in page
