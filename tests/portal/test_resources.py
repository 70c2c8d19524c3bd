"""What a tenant's people see of the resource types that it has defined itself."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from rollhouse.database.pool import Database
from rollhouse.scim.definitions import read_resource_type, read_schema
from rollhouse.tenancy import credentials
from tests.activity.test_request_log import logged
from tests.conftest import Cluster
from tests.http.protocol import THING_URN, define, define_things, thing
from tests.portal.conftest import People


@pytest.fixture
async def owners(visitors: People, service_database: Database) -> People:
    """The people of a tenant that knows things."""
    await define_things(service_database, visitors.client)
    return visitors


async def made(owners: People, **attributes: Any) -> dict[str, Any]:
    response = await owners.client.post("/Things", thing(**attributes))
    assert response.status_code == 201, response.text
    return response.json()


async def page(owners: People, path: str = "", status: int = 200) -> str:
    response = await owners["viewer"].get(owners.base + path)
    assert response.status_code == status, (path, response.status_code)
    return response.text


async def test_they_are_counted_listed_and_found(owners: People, embedded_cluster: Cluster) -> None:
    things = [await made(owners, serial=f"{kind}-{number}", externalId=f"x{kind}{number}") for kind in ("Lift", "Door") for number in range(30)]
    superuser = await asyncpg.connect(embedded_cluster.superuser_url)
    day = (datetime.now(UTC) - timedelta(days=2)).date()
    await superuser.execute("INSERT INTO rollhouse.headcounts (tenant_id, day, resource_type, count) VALUES ($1, $2, 'Thing', 7)", owners.tenant.id, day)
    await superuser.close()

    assert '<strong>60</strong> <a href="' + owners.base + '/resources">' in await page(owners)
    types = await page(owners, "/resources")
    assert f'href="{owners.base}/resources/Things">Thing</a></td><td>60</td>' in types
    assert THING_URN in types
    assert 'aria-label="Thing: 60"' in types
    listed = await page(owners, "/resources/Things")
    assert re.findall(r"<title>[^<]*: (\d+)</title>", listed) == ["0", "7", "60"]
    assert "(externalId, serial" in listed
    assert re.findall(r">((?:Lift|Door)-\d+)</a>", listed)[:2] == ["Door-29", "Door-28"]
    older = re.search(r'href="([^"]+before=[^"]+)"', listed)
    assert older is not None
    rest = (await owners["viewer"].get(older[1].replace("&amp;", "&"))).text
    assert len(re.findall(r">(?:Lift|Door)-\d+</a>", listed)) + len(re.findall(r">(?:Lift|Door)-\d+</a>", rest)) == len(things)
    for typed, expected in (("Lift-1", 11), ("xDoor", 30), ("nothing", 0)):
        found = await page(owners, f"/resources/Things?q={typed}")
        assert len(re.findall(r">(?:Lift|Door)-\d+</a>", found)) == expected, typed
    assert "Nothing begins with" in await page(owners, "/resources/Things?q=nothing")


async def test_one_shows_what_was_done_to_it(owners: People, service_database: Database) -> None:
    one = await made(owners, serial="<b>Lift</b>", height=3)
    await owners.client.patch_operations(f"/Things/{one['id']}", {"op": "replace", "path": "height", "value": 4})
    await logged(service_database, owners.tenant.id, 2)

    shown = await page(owners, f"/resources/Things/{one['id']}")
    assert "<b>Lift" not in shown
    assert "&lt;b&gt;Lift&lt;/b&gt;" in shown
    assert "<code>height</code> <del>3</del> <ins>4</ins>" in shown
    assert '<dt translate="no">height</dt><dd translate="no">4</dd>' in shown
    assert "resource.updated" in shown
    where = f'href="{owners.base}/resources/Things/{one["id"]}"'
    assert where in await page(owners, "/activity")
    audited = await page(owners, "/audit")
    assert where in audited
    (secret,) = [one for one in await credentials.list_secrets(service_database, owners.tenant) if one.state == "active"]
    assert f'<span title="credential:{secret.id}">{secret.label or secret.prefix}</span>' in audited


async def test_what_is_no_own_type_is_not_there(owners: People, visitors: People) -> None:
    user = await owners.client.create_user(userName="ann")

    lift = await made(owners, serial="Lift")
    for path in (
        f"/users/{lift['id']}",
        f"/groups/{lift['id']}",
        f"/groups/{user['id']}",
        f"/resources/Things/{user['id']}",
        "/resources/Users",
        f"/resources/Users/{user['id']}",
        "/resources/Others",
        "/resources/things",
    ):
        await page(owners, path, 404)
    assert (await owners.client.delete(f"/Things/{lift['id']}")).status_code == 204
    assert "None has arrived yet" in await page(owners, "/resources/Things")
    assert "/resources" in await page(owners)


async def test_a_type_that_is_called_like_what_the_audit_names_otherwise(visitors: People, service_database: Database) -> None:
    """The audit says of a definition that a Schema was defined; its target is a URN, and no resource of the type Schema."""
    schema = read_schema({"id": "urn:example:params:scim:schemas:Plan", "name": "Plan", "attributes": [{"name": "title", "required": True}]})
    kind = read_resource_type({"name": "Schema", "endpoint": "/Plans", "schema": schema.id})
    await define(service_database, visitors.client, lambda known: known.with_schema(schema).with_type(kind))
    plan = (await visitors.client.post("/Plans", {"schemas": [schema.id], "externalId": "x1", "title": "Ground floor"})).json()

    shown = await page(visitors, "/audit")
    assert "schema.defined" in shown
    assert f'{visitors.base}/resources/Plans/{plan["id"]}">Ground floor</a>' in shown


async def test_a_tenant_that_defines_nothing_is_told_so_and_not_led_there(visitors: People) -> None:
    assert "/resources" not in await page(visitors)
    assert "users and teams alone" in await page(visitors, "/resources")


async def test_a_bulk_request_is_told_as_several_changes(visitors: People, service_database: Database) -> None:
    body = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{"method": "POST", "path": "/Users", "bulkId": name, "data": {"userName": name}} for name in ("ann", "ben")],
    }
    assert (await visitors.client.post("/Bulk", body)).status_code == 200
    await logged(service_database, visitors.tenant.id, 1)

    assert "several changes at once" in await page(visitors, "/activity")
