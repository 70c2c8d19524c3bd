"""Idempotency keys: a repeat changes nothing, is answered as the first, and never tells a secret (threats T27, T40)."""

import asyncio
from uuid import UUID, uuid4

import pytest

from rollhouse.database.pool import Database
from rollhouse.tenancy import idempotency, tenants
from rollhouse.tenancy.idempotency import Claim
from tests.api.conftest import ApiClient, fresh_slug, problem
from tests.servers.service import Serving


def named(key: str | None = None) -> dict[str, str]:
    return {"idempotency-key": key or str(uuid4())}


async def test_a_repeat_is_answered_as_the_first_and_changes_nothing(operator: ApiClient, service_database: Database) -> None:
    body, headers = {"slug": fresh_slug(), "name": "Once"}, named()

    first, second = [await operator.post("/tenants", body, headers=headers) for _ in range(2)]

    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    for name in ("status_code", "content"):
        assert getattr(first, name) == getattr(second, name)
    for header in ("content-type", "etag", "location", "cache-control"):
        assert first.headers[header] == second.headers[header]
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


async def test_twenty_equal_requests_at_once_make_one_tenant(operator: ApiClient, service_database: Database) -> None:
    body, headers = {"slug": fresh_slug(), "name": "Once"}, named()

    answers = await asyncio.gather(*(operator.post("/tenants", body, headers=headers) for _ in range(20)))

    made = [one for one in answers if one.status_code == 201]
    assert len({one.json()["id"] for one in made}) == 1
    assert len([one for one in made if "idempotent-replayed" not in one.headers]) == 1
    for one in answers:
        if one.status_code != 201:
            assert "under way" in problem(one, 409)["detail"]
            assert one.headers["retry-after"] == "1"
    assert [one.slug for one in await tenants.list_tenants(service_database) if one.slug == body["slug"]] == [body["slug"]]
    assert (await operator.post("/tenants", body, headers=headers)).json() == made[0].json()


async def test_twenty_equal_requests_at_once_make_one_secret(operator: ApiClient) -> None:
    path = f"/tenants/{(await operator.create_tenant())['slug']}/credentials"
    headers = named()

    answers = await asyncio.gather(*(operator.post(path, {"label": "one"}, headers=headers) for _ in range(20)))

    assert len((await operator.get(path)).json()["items"]) == 1
    assert len([one for one in answers if "secret" in one.json()]) == 1


@pytest.mark.parametrize("other", ["body", "path"])
async def test_another_request_under_the_same_key_is_refused(operator: ApiClient, other: str) -> None:
    body, headers = {"slug": fresh_slug(), "name": "Once"}, named()
    await operator.post("/tenants", body, headers=headers)

    if other == "body":
        response = await operator.post("/tenants", {**body, "name": "Twice"}, headers=headers)
    else:
        response = await operator.post(f"/tenants/{body['slug']}/suspend", body, headers=headers)

    problem(response, 422)
    assert (await operator.get(f"/tenants/{body['slug']}")).json()["name"] == "Once"


@pytest.mark.threat("T40")
async def test_a_key_of_one_operator_says_nothing_to_another(operator: ApiClient, other_operator: ApiClient) -> None:
    headers = named()
    mine, theirs = [{"slug": fresh_slug(), "name": "Mine"}, {"slug": fresh_slug(), "name": "Theirs"}]

    answers = [await operator.post("/tenants", mine, headers=headers), await other_operator.post("/tenants", theirs, headers=headers)]

    assert [one.status_code for one in answers] == [201, 201]
    assert [one.json()["slug"] for one in answers] == [mine["slug"], theirs["slug"]]
    assert not any("idempotent-replayed" in one.headers for one in answers)


async def test_a_refusal_is_kept_too(operator: ApiClient) -> None:
    made = await operator.create_tenant()
    headers = named()

    first, second = [await operator.post("/tenants", {"slug": made["slug"], "name": "Taken"}, headers=headers) for _ in range(2)]

    assert problem(first, 409) == problem(second, 409)
    assert second.headers["idempotent-replayed"] == "true"


@pytest.mark.threat("T27")
async def test_a_repeated_creation_of_a_secret_answers_without_it_and_says_so(operator: ApiClient, service_database: Database) -> None:
    path = f"/tenants/{(await operator.create_tenant())['slug']}/credentials"
    headers = named()

    first = (await operator.post(path, {"label": "Entra"}, headers=headers)).json()
    repeat = await operator.post(path, {"label": "Entra"}, headers=headers)

    assert repeat.status_code == 201
    assert "secret" not in repeat.json()
    assert "revoke it" in repeat.json()["note"]
    assert {name: value for name, value in repeat.json().items() if name != "note"} == {name: value for name, value in first.items() if name != "secret"}


@pytest.mark.threat("T27")
async def test_no_secret_is_in_the_table_of_idempotency_keys(operator: ApiClient, service_database: Database) -> None:
    path = f"/tenants/{(await operator.create_tenant())['slug']}/credentials"
    secret = (await operator.post(path, {"label": "Entra"}, headers=named())).json()["secret"]
    key = (await operator.post("/keys", {"scopes": ["tenants:read"]}, headers=named())).json()["key"]

    rows = [row["text"] for row in await service_database.query("SELECT k::text AS text FROM rollhouse.idempotency_keys k")]

    assert any(secret.split("_")[1] in row for row in rows), "the stored answer names the secret by its prefix"
    for hidden in (secret, secret.rpartition("_")[2], key, key.rpartition("_")[2], operator.key):
        assert not any(hidden in row for row in rows)


async def test_what_is_stored_names_the_tenant_that_it_concerns(operator: ApiClient, service_database: Database) -> None:
    headers = [named() for _ in range(3)]
    made = (await operator.post("/tenants", {"slug": fresh_slug(), "name": "x"}, headers=headers[0])).json()
    await operator.post(f"/tenants/{made['slug']}/suspend", headers=headers[1])
    await operator.post(f"/tenants/{made['slug']}/credentials", headers=headers[2])

    for one in headers:
        rows = await service_database.query("SELECT concerns::text FROM rollhouse.idempotency_keys WHERE idempotency_key = $1", one["idempotency-key"])
        assert [row[0] for row in rows] == [made["id"]]


@pytest.mark.parametrize("key", ["x" * 256, "caf\u00e9".encode("latin-1"), "tab\there"])
async def test_an_impossible_key_is_refused(operator: ApiClient, key: str | bytes) -> None:
    slug = fresh_slug()

    problem(await operator.post("/tenants", {"slug": slug, "name": "x"}, headers={"idempotency-key": key}), 400)

    problem(await operator.get(f"/tenants/{slug}"), 404)


async def test_a_key_of_255_characters_is_taken(operator: ApiClient) -> None:
    response = await operator.post("/tenants", {"slug": fresh_slug(), "name": "x"}, headers=named(f"{uuid4()}".ljust(255, "x")))

    assert response.status_code == 201


async def aged(database: Database, key: str, interval: str) -> None:
    await database.query(
        "UPDATE rollhouse.idempotency_keys SET created = clock_timestamp() - $2::text::interval WHERE idempotency_key = $1",
        key,
        interval,
    )


async def test_after_a_day_a_key_is_free_again(operator: ApiClient, service_database: Database) -> None:
    headers = named()
    first = await operator.post("/tenants", {"slug": fresh_slug(), "name": "x"}, headers=headers)
    await aged(service_database, headers["idempotency-key"], "24 hours 1 second")

    second = await operator.post("/tenants", {"slug": fresh_slug(), "name": "y"}, headers=headers)

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]


async def test_a_request_that_was_cut_off_is_never_carried_out_again(operator: ApiClient, service_database: Database) -> None:
    key, operator_key = str(uuid4()), uuid4()
    same, other = idempotency.hash_request("POST", "/x", b"1"), idempotency.hash_request("POST", "/x", b"2")
    first = await idempotency.claim(service_database, operator_key, key, same)
    with pytest.raises(idempotency.Conflict):
        await idempotency.claim(service_database, operator_key, key, same)
    await aged(service_database, key, f"{idempotency.LEASE_SECONDS + 1} seconds")

    with pytest.raises(idempotency.KeyReused):
        await idempotency.claim(service_database, operator_key, key, other)
    with pytest.raises(idempotency.Conflict, match="cut off, perhaps after its effect"):
        await idempotency.claim(service_database, operator_key, key, same)

    assert isinstance(first, Claim)
    await aged(service_database, key, "24 hours 1 second")
    assert isinstance(await idempotency.claim(service_database, operator_key, key, same), Claim), "after its day a key is free again"


async def test_what_came_to_nothing_can_be_tried_again(service_database: Database) -> None:
    key, operator_key, request_hash = str(uuid4()), uuid4(), idempotency.hash_request("POST", "/x", b"1")
    held = await idempotency.claim(service_database, operator_key, key, request_hash)
    assert isinstance(held, Claim)

    await idempotency.give_up(service_database, held)

    assert isinstance(await idempotency.claim(service_database, operator_key, key, request_hash), Claim)


async def test_an_answer_of_503_is_not_kept(operator: ApiClient, service_database: Database) -> None:
    """The tenant's row is held until the statement gives up; the repeat after that is carried out."""
    made = await operator.create_tenant()
    headers = named()

    async with service_database.transaction(UUID(made["id"])) as tx:
        await tx.fetch("SELECT FROM rollhouse.tenants WHERE id = $1 FOR UPDATE", UUID(made["id"]))
        busy = await operator.post(f"/tenants/{made['slug']}/suspend", headers=headers)
    done = await operator.post(f"/tenants/{made['slug']}/suspend", headers=headers)

    problem(busy, 503)
    assert int(busy.headers["retry-after"]) >= 1
    assert (done.status_code, done.json()["status"]) == (200, "suspended")
    assert "idempotent-replayed" not in done.headers


async def test_a_get_and_a_patch_take_no_notice_of_a_key(operator: ApiClient, service: Serving) -> None:
    path = f"/tenants/{(await operator.create_tenant())['slug']}"
    headers = named()

    answers = [await operator.request("PATCH", path, json={"name": f"Name {n}"}, headers=headers) for n in range(2)]

    assert [one.status_code for one in answers] == [200, 200]
    assert "idempotent-replayed" not in answers[1].headers
