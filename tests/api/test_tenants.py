"""Tenants, their secrets and their life by the admin API."""

import asyncio

import pytest

from rollhouse.database.pool import Database
from rollhouse.journal import audit
from rollhouse.tenancy import tenants
from tests.api.conftest import ApiClient, fresh_slug, problem
from tests.servers.service import ScimClient, Serving


async def test_a_created_tenant_can_be_provisioned_at_once(operator: ApiClient, service: Serving) -> None:
    slug = fresh_slug()
    made = await operator.post("/tenants", {"slug": slug, "name": "Acme Ltd"})
    secret = (await operator.post(f"/tenants/{slug}/credentials", {"label": "Entra"})).json()

    client = ScimClient(made.json()["scim_url"], secret["secret"])
    user = await client.create_user(userName="ann")
    await client.close()

    assert (made.status_code, made.headers["location"]) == (201, f"/api/v1/tenants/{slug}")
    assert made.json()["scim_url"] == f"{service.url}/t/{slug}/scim/v2"
    assert user["userName"] == "ann"


async def test_a_taken_slug_and_an_impossible_one_are_refused(operator: ApiClient) -> None:
    made = await operator.create_tenant()

    problem(await operator.post("/tenants", {"slug": made["slug"], "name": "Again"}), 409)
    problem(await operator.post("/tenants", {"slug": "-x", "name": "Wrong"}), 400)
    problem(await operator.post("/tenants", {"slug": "api", "name": "Reserved"}), 400)


async def test_pages_have_no_gap_and_no_repeat_while_tenants_are_created(operator: ApiClient) -> None:
    prefix = fresh_slug("paged")
    there = [f"{prefix}-{letter}" for letter in "abcdefghij"]
    for slug in there:
        assert (await operator.post("/tenants", {"slug": slug, "name": slug})).status_code == 201

    seen: list[str] = []
    after = ""
    for number in range(1000):
        page = (await operator.get("/tenants", params={"after": after, "limit": 3})).json()
        seen += [one["slug"] for one in page["items"]]
        await operator.post("/tenants", {"slug": f"{prefix}-{'aj'[number % 2]}-{number:03d}", "name": "Made meanwhile"})
        if page["next"] is None or page["next"] > f"{prefix}-k":
            break
        after = page["next"]

    assert seen == sorted(set(seen))
    assert set(there) <= set(seen)


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "limit=-1", "limit=1e2", "limit="])
async def test_a_page_has_one_to_two_hundred_items(operator: ApiClient, query: str) -> None:
    problem(await operator.get(f"/tenants?{query}"), 400)


async def test_an_etag_is_the_tenants_version_and_if_match_holds_a_change_to_it(operator: ApiClient) -> None:
    made = await operator.create_tenant()
    path = f"/tenants/{made['slug']}"
    etag = (await operator.get(path)).headers["etag"]

    changed = await operator.request("PATCH", path, json={"name": "Renamed"}, headers={"if-match": etag})

    assert etag == '"1"'
    assert (changed.status_code, changed.json()["name"], changed.headers["etag"]) == (200, "Renamed", '"2"')
    for method, tail, body in [("PATCH", "", {"name": "Lost"}), ("POST", "/suspend", {}), ("POST", "/resume", {}), ("DELETE", "", None)]:
        problem(await operator.request(method, path + tail, json=body, headers={"if-match": etag}), 412)
    assert (await operator.get(path)).json() == changed.json()


async def test_of_ten_changes_with_one_etag_one_succeeds(operator: ApiClient) -> None:
    path = f"/tenants/{(await operator.create_tenant())['slug']}"

    answers = await asyncio.gather(*(operator.request("PATCH", path, json={"name": f"Name {n}"}, headers={"if-match": '"1"'}) for n in range(10)))

    assert sorted(one.status_code for one in answers) == [200] + [412] * 9


async def test_a_change_keeps_what_it_does_not_name_and_null_is_the_default(operator: ApiClient, service_database: Database) -> None:
    made = await operator.create_tenant()
    path = f"/tenants/{made['slug']}"

    limited = (await operator.request("PATCH", path, json={"rate_per_second": 7, "burst": 9})).json()
    renamed = (await operator.request("PATCH", path, json={"name": "Other"})).json()
    default = (await operator.request("PATCH", path, json={"rate_per_second": None, "burst": None, "name": "Third"})).json()

    assert (limited["name"], limited["rate_per_second"], limited["burst"]) == (made["name"], 7, 9)
    assert (renamed["name"], renamed["rate_per_second"], renamed["burst"]) == ("Other", 7, 9)
    assert (default["name"], default["rate_per_second"], default["burst"]) == ("Third", None, None)
    found = await tenants.find_tenant(service_database, made["slug"])
    told = [(row.action, row.attributes, row.actor) for row in await audit.list_entries(service_database, found.id)]
    actor = f"operator-key:{operator.key_id}"
    assert told == [
        ("tenant.created", [], actor),
        ("tenant.limited", ["burst", "rate_per_second"], actor),
        ("tenant.renamed", ["name"], actor),
        ("tenant.changed", ["burst", "name", "rate_per_second"], actor),
    ]


@pytest.mark.parametrize(
    "body", [{}, {"slug": "other"}, {"name": ""}, {"name": None}, {"name": "a\u0007"}, {"burst": 0}, {"rate_per_second": -1}, {"rate_per_second": 2**31}]
)
async def test_a_change_that_cannot_be_is_refused_and_changes_nothing(operator: ApiClient, body: dict[str, object]) -> None:
    made = await operator.create_tenant()

    problem(await operator.request("PATCH", f"/tenants/{made['slug']}", json=body), 400)

    assert (await operator.get(f"/tenants/{made['slug']}")).json() == made


async def test_a_tenant_is_suspended_resumed_deleted_and_restored(operator: ApiClient) -> None:
    made = await operator.create_tenant()
    path = f"/tenants/{made['slug']}"

    suspended = await operator.post(f"{path}/suspend", {"reads": True})
    resumed = await operator.post(f"{path}/resume")
    deleted = await operator.request("DELETE", path, params={"grace_days": 5})
    problem(await operator.request("DELETE", path), 409)
    restored = await operator.post(f"{path}/restore")

    steps = [(one.status_code, one.json()["status"]) for one in (suspended, resumed, deleted, restored)]
    assert steps == [(200, "suspended"), (200, "active"), (200, "deleting"), (200, "active")]
    assert suspended.json()["reads_while_suspended"]
    assert deleted.json()["purge_after"] is not None
    problem(await operator.post(f"{path}/restore"), 409)
    problem(await operator.request("DELETE", path, params={"grace_days": 366}), 400)


@pytest.mark.threat("T27")
async def test_a_secret_is_shown_once_listed_by_its_prefix_and_revoked(operator: ApiClient) -> None:
    tenant = await operator.create_tenant()
    path = f"/tenants/{tenant['slug']}/credentials"
    made = (await operator.post(path, {"label": "Entra", "expires": "2099-01-01T00:00:00Z"})).json()

    listed = await operator.get(path)
    revoked = await operator.request("DELETE", f"{path}/{made['prefix']}")

    assert made["secret"].startswith(made["prefix"] + "_")
    assert made["secret"] not in listed.text
    assert [(one["id"], one["label"], one["state"]) for one in listed.json()["items"]] == [(made["id"], "Entra", "active")]
    assert (revoked.status_code, revoked.json()["state"]) == (200, "revoked")
    problem(await operator.request("DELETE", f"{path}/scimsk_nobody"), 404)
    rows = (await operator.get(f"/tenants/{tenant['slug']}/audit")).json()["items"]
    actor = f"operator-key:{operator.key_id}"
    told = [(row["action"], row["actor"], row["target_id"]) for row in rows]
    assert told[1:] == [("secret.created", actor, made["id"]), ("secret.revoked", actor, made["id"])]
    assert rows[-1]["request_id"] == revoked.headers["x-request-id"]


async def test_a_secret_of_another_tenant_is_neither_listed_nor_revoked(operator: ApiClient) -> None:
    mine, other = await operator.create_tenant(), await operator.create_tenant()
    made = (await operator.post(f"/tenants/{other['slug']}/credentials")).json()

    problem(await operator.request("DELETE", f"/tenants/{mine['slug']}/credentials/{made['id']}"), 404)

    assert (await operator.get(f"/tenants/{mine['slug']}/credentials")).json() == {"items": []}
    assert (await operator.get(f"/tenants/{other['slug']}/credentials")).json()["items"][0]["state"] == "active"
