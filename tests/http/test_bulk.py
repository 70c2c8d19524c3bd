"""Bulk requests (RFC 7644 section 3.7): every method, references in any direction, limits, and each operation for itself."""

import asyncio
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest

from rollhouse.database.pool import Database
from rollhouse.directory import resources
from rollhouse.directory.scopes import Scope
from rollhouse.http.bulk import Bulk
from rollhouse.journal.audit import UNATTENDED
from rollhouse.scim import bulk as messages
from rollhouse.scim.errors import Unavailable
from rollhouse.scim.schemas import GROUP, USER
from rollhouse.scim.tolerances import Tolerance
from rollhouse.tenancy import tenants
from rollhouse.tenancy.tenants import Tenant
from tests.conftest import PEPPER, Cluster
from tests.http.protocol import slug_of
from tests.servers.service import ScimClient, Serving

BULK_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
USER_URN, GROUP_URN = "urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


def user(bulk_id: str, name: str, **more: Any) -> dict[str, Any]:
    return {"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": {"schemas": [USER_URN], "userName": name, **more}}


def group(bulk_id: str, name: str, *members: str) -> dict[str, Any]:
    data = {"schemas": [GROUP_URN], "displayName": name, "members": [{"value": f"bulkId:{one}"} for one in members]}
    return {"method": "POST", "path": "/Groups", "bulkId": bulk_id, "data": data}


def chain(count: int) -> list[dict[str, Any]]:
    """Groups, each of which has all that come later as members."""
    return [group(f"g{at}", f"G{at}", *(f"g{later}" for later in range(at + 1, count))) for at in range(count)]


async def bulk(client: ScimClient, *operations: Any, **more: Any) -> list[dict[str, Any]]:
    response = await client.post("/Bulk", {"schemas": [BULK_URN], "Operations": list(operations), **more})
    assert response.status_code == 200, response.text
    assert response.json()["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:BulkResponse"]
    return response.json()["Operations"]


def id_of(result: dict[str, Any]) -> str:
    return result["location"].rpartition("/")[2]


async def members_of(client: ScimClient, result: dict[str, Any]) -> set[str]:
    return {one["value"] for one in (await client.get_group(id_of(result))).get("members", [])}


async def test_every_method(acme: ScimClient) -> None:
    one, two, gone = [await acme.create_user(userName=name) for name in ("one", "two", "gone")]

    results = await bulk(
        acme,
        user("new", "new"),
        {"method": "PUT", "path": f"/Users/{one['id']}", "data": {"schemas": [USER_URN], "userName": "one", "title": "put"}},
        {
            "method": "PATCH",
            "path": f"/Users/{two['id']}",
            "data": {"schemas": [PATCH_URN], "Operations": [{"op": "add", "path": "title", "value": "patched"}]},
        },
        {"method": "DELETE", "path": f"/Users/{gone['id']}"},
    )

    assert [one["status"] for one in results] == ["201", "200", "200", "204"]
    assert results[0] == {"method": "POST", "bulkId": "new", "version": 'W/"1"', "location": f"{acme.base_url}/Users/{id_of(results[0])}", "status": "201"}
    assert [(await acme.get_user(each["id"]))["title"] for each in (one, two)] == ["put", "patched"]
    assert (await acme.get(f"/Users/{gone['id']}")).status_code == 404
    assert (await acme.get(f"/Users/{id_of(results[0])}")).status_code == 200


async def test_references_backward_and_forward(acme: ScimClient) -> None:
    results = await bulk(acme, group("g", "forward", "u"), user("u", "ann"), group("h", "backward", "u", "g"))

    assert [one["bulkId"] for one in results] == ["g", "u", "h"], "in the order of the request"
    assert await members_of(acme, results[0]) == {id_of(results[1])}
    assert await members_of(acme, results[2]) == {id_of(results[1]), id_of(results[0])}


async def test_references_in_a_circle(acme: ScimClient) -> None:
    """RFC 7644 section 3.7.1: two groups that are each other's members."""
    results = await bulk(acme, group("a", "A", "b", "u"), group("b", "B", "a"), user("u", "ann"))

    assert [one["status"] for one in results] == ["201", "201", "201"]
    assert await members_of(acme, results[0]) == {id_of(results[1]), id_of(results[2])}
    assert await members_of(acme, results[1]) == {id_of(results[0])}


async def test_a_reference_to_itself(acme: ScimClient) -> None:
    (result,) = await bulk(acme, group("a", "A", "a"))

    assert await members_of(acme, result) == {id_of(result)}


async def test_a_circle_of_which_one_fails_is_undone_and_refused(acme: ScimClient) -> None:
    broken = group("b", "B", "a")
    broken["data"]["displayName"] = None

    results = await bulk(acme, group("a", "A", "b"), broken, user("u", "ann"))

    assert [one["status"] for one in results] == ["409", "409", "201"]
    assert "displayName" in results[0]["response"]["detail"]
    assert (await acme.get("/Groups")).json()["totalResults"] == 0


async def test_a_circle_that_names_what_is_not_there_makes_nothing(acme: ScimClient) -> None:
    results = await bulk(acme, group("a", "A", "b", "nobody"), group("b", "B", "a"))

    assert [one["status"] for one in results] == ["409", "409"]
    assert all('"nobody", which is not in this request' in one["response"]["detail"] for one in results)
    assert (await acme.get("/Groups")).json()["totalResults"] == 0


async def test_fifty_groups_that_each_name_all_that_come_later(acme: ScimClient) -> None:
    """Nothing can begin but the last."""
    results = await bulk(acme, *chain(50))

    assert [one["status"] for one in results] == ["201"] * 50
    assert len(await members_of(acme, results[0])) == 49


def test_what_an_operation_names_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many operations wait for each other: each text of the request is looked at when it is read, and never again."""
    looked: list[Any] = []
    look = messages.references_in
    monkeypatch.setattr(messages, "references_in", lambda value: looked.append(value) or look(value))

    request = messages.read_bulk({"schemas": [BULK_URN], "Operations": chain(50)}, set(), most=100)
    once = len(looked)
    needs = messages.needs_of(request.operations)
    while needs:
        (at,) = messages.next_together(needs)
        del needs[at]
        for needed in needs.values():
            needed.discard(at)

    assert once > 50 * 49 / 2
    assert len(looked) == once


class Clocked:
    """What a bulk request asks of the exchange that carries it, on a real directory: its time is `seconds`, and falls by one with each charge.

    The first operation has none.
    """

    def __init__(self, database: Database, tenant: Tenant, seconds: float = 30) -> None:
        self.noted: set[Tolerance] = set()
        self.seconds_left = seconds
        self.base_url = "https://scim.example"
        self.service = SimpleNamespace(limits=SimpleNamespace(bulk_operations=100))
        self._scopes = {one.endpoint: Scope(database, tenant.id, one, self.base_url) for one in (USER, GROUP)}

    def directory(self, endpoint: str) -> Scope:
        return self._scopes[endpoint]

    async def charge(self, _: int) -> None:
        self.seconds_left -= 1

    async def statuses(self, *operations: dict[str, Any]) -> tuple[list[str], list[str]]:
        """Of each operation its status, and why it failed."""
        answer = await Bulk(self).carry_out({"schemas": [BULK_URN], "Operations": list(operations)})  # type: ignore[arg-type]
        found = answer["Operations"]
        return [one["status"] for one in found], [one["response"]["detail"] for one in found if "response" in one]


async def test_near_the_end_of_its_time_nothing_is_begun_and_what_was_done_is_told(database: Database, tenant: Tenant) -> None:
    statuses, reasons = await Clocked(database, tenant, 2.2).statuses(*(user(str(number), f"u{number}") for number in range(4)))

    assert statuses == ["201", "201", "503", "503"]
    assert all("send it again" in one for one in reasons)


async def test_of_a_circle_what_could_not_be_deleted_again_is_named(database: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = Clocked(database, tenant)
    monkeypatch.setattr(resources, "delete_resource", AsyncMock(side_effect=Unavailable("The database is away.")))
    broken = group("b", "B", "a")
    broken["data"]["displayName"] = None

    statuses, reasons = await exchange.statuses(group("a", "A", "b"), broken)

    page = await resources.list_resources(exchange.directory("Groups"), resources.Query(), with_relation=False)
    (left,) = page.records
    assert statuses == ["409", "409"]
    assert all(f"could not be deleted again: {left.id}." in one for one in reasons)


async def test_a_circle_over_the_limit_is_undone_and_worth_another_try(acme: ScimClient, service_database: Database) -> None:
    """Two for the request and its first group leave one of three."""
    await tenants.set_limit(service_database, slug_of(acme), 1, 3, cause=UNATTENDED)

    results = await bulk(acme, group("a", "A", "b"), group("b", "B", "a"))

    assert [one["status"] for one in results] == ["429", "429"]
    async with service_database.transaction((await tenants.find_tenant(service_database, slug_of(acme))).id) as tx:
        assert await tx.fetch("SELECT id FROM rollhouse.resources") == []


async def test_references_in_paths_and_in_extensions(acme: ScimClient) -> None:
    enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
    patch = {"method": "PATCH", "path": "/Users/bulkId:u", "data": {"schemas": [PATCH_URN], "Operations": [{"op": "add", "path": "title", "value": "t"}]}}
    results = await bulk(acme, patch, user("u", "ann", **{enterprise: {"manager": {"value": "bulkId:m"}}}), user("m", "boss"))

    assert [one["status"] for one in results] == ["200", "201", "201"]
    found = await acme.get_user(id_of(results[1]))
    assert (found["title"], found[enterprise]["manager"]["value"]) == ("t", id_of(results[2]))


async def test_who_refers_to_what_failed_or_never_was_is_refused_and_the_others_go_on(acme: ScimClient) -> None:
    await acme.create_user(userName="taken")

    results = await bulk(acme, user("u", "taken"), group("g", "G", "u"), group("h", "H", "nobody"), user("v", "free"))

    assert [one["status"] for one in results] == ["409", "409", "409", "201"]
    assert results[0]["response"]["scimType"] == "uniqueness"
    assert '"u", which failed' in results[1]["response"]["detail"]
    assert '"nobody", which is not in this request' in results[2]["response"]["detail"]


async def test_it_stops_after_so_many_errors(acme: ScimClient) -> None:
    await acme.create_user(userName="taken")
    operations = [user("a", "taken"), user("b", "new"), user("c", "taken"), user("d", "later")]

    results = await bulk(acme, *operations, failOnErrors=2)

    assert [one["status"] for one in results] == ["409", "201", "409"]
    assert (await acme.get("/Users", params={"filter": 'userName eq "later"'})).json()["totalResults"] == 0


@pytest.mark.parametrize(
    ("operation", "scim_type"),
    [
        ({"method": "GET", "path": "/Users"}, "invalidSyntax"),
        ({"method": "POST", "path": "/Bulk", "bulkId": "x", "data": {}}, "invalidPath"),
        ({"method": "POST", "path": "/Users/.search", "bulkId": "x", "data": {}}, "invalidPath"),
        ({"method": "POST", "path": "https://elsewhere.example/t/globex/scim/v2/Users", "bulkId": "x", "data": {}}, "invalidPath"),
        ({"method": "POST", "path": "/../../globex/scim/v2/Users", "bulkId": "x", "data": {}}, "invalidPath"),
        ({"method": "DELETE", "path": "/../../globex/scim/v2/Users/1"}, "invalidPath"),
        ({"method": "POST", "path": "/Users", "data": {"userName": "x"}}, "invalidValue"),
        ({"method": "PUT", "path": "/Users", "data": {}}, "invalidPath"),
        ({"method": "PATCH", "path": "/Users/1", "data": []}, "invalidSyntax"),
        ("not an object", "invalidSyntax"),
    ],
)
async def test_what_is_no_operation_fails_alone(acme: ScimClient, operation: Any, scim_type: str) -> None:
    results = await bulk(acme, operation, user("u", "ann"))

    assert [one["status"] for one in results] == ["400", "201"]
    assert results[0]["response"]["scimType"] == scim_type


@pytest.mark.threat("T01")
async def test_another_tenants_resource_is_not_there(acme: ScimClient, globex: ScimClient) -> None:
    foreign = await globex.create_user(userName="bob")

    results = await bulk(
        acme,
        {"method": "DELETE", "path": f"/Users/{foreign['id']}"},
        {"method": "PUT", "path": f"/Users/{foreign['id']}", "data": {"schemas": [USER_URN], "userName": "x"}},
        {"method": "POST", "path": "/Groups", "bulkId": "g", "data": {"displayName": "G", "members": [{"value": foreign["id"]}]}},
    )

    assert [one["status"] for one in results] == ["404", "404", "400"]
    assert await globex.get_user(foreign["id"]) == foreign


async def test_versions_are_preconditions(acme: ScimClient) -> None:
    one = await acme.create_user(userName="ann")
    path = f"/Users/{one['id']}"

    results = await bulk(
        acme,
        {"method": "PUT", "path": path, "version": 'W/"7"', "data": {"schemas": [USER_URN], "userName": "ann"}},
        {"method": "PUT", "path": path, "version": 'W/"1"', "data": {"schemas": [USER_URN], "userName": "anna"}},
    )

    assert [one["status"] for one in results] == ["412", "200"]
    assert results[0]["location"].endswith(path)
    assert results[1]["version"] == 'W/"2"'


async def test_the_limits_that_are_told_are_kept(acme: ScimClient) -> None:
    told = (await acme.get("/ServiceProviderConfig")).json()["bulk"]

    assert told == {"supported": True, "maxOperations": 100, "maxPayloadSize": 1_048_576}
    many = await acme.post("/Bulk", {"schemas": [BULK_URN], "Operations": [user(str(number), f"u{number}") for number in range(101)]})
    assert many.status_code == 413
    assert "100" in many.json()["detail"]
    large = await acme.request("POST", "/Bulk", content=json.dumps({"schemas": [BULK_URN], "Operations": [user("a", "a", title="x" * 4000)] * 300}).encode())
    assert large.status_code == 413
    assert "1048576" in large.json()["detail"]
    assert (await acme.get("/Users")).json()["totalResults"] == 0
    assert (await acme.post("/Bulk", {"Operations": "x"})).json()["scimType"] == "invalidSyntax"
    assert (await acme.post("/Bulk", {"Operations": [user("a", "a"), user("a", "b")]})).json()["scimType"] == "invalidValue"


async def test_the_limits_can_be_set(acme: ScimClient, embedded_cluster: Cluster, tmp_path: Path) -> None:
    settings = {"ROLLHOUSE_BULK_OPERATIONS_LIMIT": "2", "ROLLHOUSE_BULK_BODY_LIMIT_BYTES": "2048"}
    serving = Serving(tmp_path / "bulk.log", {"ROLLHOUSE_DATABASE_URL": embedded_cluster.app_url, "ROLLHOUSE_PEPPERS": PEPPER, **settings})
    serving.start()
    try:
        client = ScimClient(acme.base_url.replace(acme.base_url.split("/t/", maxsplit=1)[0], serving.url), acme.secret)
        told = (await client.get("/ServiceProviderConfig")).json()["bulk"]
        assert told == {"supported": True, "maxOperations": 2, "maxPayloadSize": 2048}
        assert len(await bulk(client, user("a", "a"), user("b", "b"))) == 2
        for operations in ([user(name, name) for name in "cde"], [user("c", "c", title="x" * 2048)]):
            assert (await client.post("/Bulk", {"schemas": [BULK_URN], "Operations": operations})).status_code == 413
        await client.close()
    finally:
        serving.stop()


async def test_each_operation_is_charged(acme: ScimClient, service_database: Database) -> None:
    await tenants.set_limit(service_database, slug_of(acme), 1, 12, cause=UNATTENDED)

    results = await bulk(acme, *(user(str(number), f"u{number}") for number in range(10)))

    statuses = [one["status"] for one in results]
    assert statuses[:6] == ["201"] * 6, "two for the request and its first operation, two for each other one"
    assert set(statuses[6:]) <= {"201", "429"}
    assert statuses.count("429") >= 3


async def test_what_is_kept_of_it_names_nobody(acme: ScimClient, service_database: Database) -> None:
    """A bulk request has no single resource whose deletion would erase it, so its values are never kept."""
    (result,) = await bulk(acme, user("u", "secretive@acme.example", password="t0p"))
    tenant = await tenants.find_tenant(service_database, slug_of(acme))
    rows: list[Any] = []
    until = time.monotonic() + 20
    while not rows and time.monotonic() < until:
        await asyncio.sleep(0.1)
        async with service_database.transaction(tenant.id) as tx:
            rows = await tx.fetch("SELECT request_body, response_body, kind FROM rollhouse.requests WHERE path LIKE '%/Bulk'")

    assert result["status"] == "201"
    (row,) = rows
    assert row["kind"] == "updated"
    assert "userName" in row["request_body"]
    assert "secretive" not in str(tuple(row))
    assert "t0p" not in str(tuple(row))
