"""Small requests that would cost much: each is refused by a bound, not by the clock (threats T12, T16, T38)."""

import asyncio
import time

import pytest

from tests.servers.service import ScimClient

TIMEOUT_SECONDS = 10.0  # twenty times the goal


@pytest.mark.threat("T38")
async def test_thousands_of_unknown_extensions_are_refused_at_the_five_hundredth(acme: ScimClient) -> None:
    started = time.monotonic()
    response = await acme.post("/Users", {"userName": "w"} | {f"urn:a:b:c{number}:x": 1 for number in range(40_000)})

    assert (response.status_code, response.json()["scimType"]) == (400, "invalidValue")
    assert time.monotonic() - started < TIMEOUT_SECONDS


@pytest.mark.threat("T16")
async def test_a_patch_that_searches_heavy_values_a_hundred_times_is_refused(acme: ScimClient) -> None:
    """U+FDFA folds to eighteen characters."""
    user = await acme.create_user(userName="w", emails=[{"value": f"{number}" + "\ufdfa" * 800} for number in range(60)])

    response = await acme.patch_operations(f"/Users/{user['id']}", *[{"op": "remove", "path": 'emails[value eq "nope"]'}] * 100)

    assert (response.status_code, response.json()["scimType"]) == (400, "tooMany")
    assert len((await acme.get_user(user["id"]))["emails"]) == 60


async def test_a_resource_has_a_weight_that_it_cannot_exceed_by_growing(acme: ScimClient) -> None:
    user = await acme.create_user(userName="w")
    statuses = []
    for name in ("emails", "phoneNumbers", "ims", "photos"):
        values = [{"value": f"{number}" + "x" * 1500} for number in range(100)]
        statuses.append((await acme.patch_operations(f"/Users/{user['id']}", {"op": "add", "path": name, "value": values})).status_code)

    assert statuses == [200, 400, 400, 400]
    assert len((await acme.get(f"/Users/{user['id']}")).content) < 300_000


@pytest.mark.threat("T38")
async def test_a_tenants_long_searches_leave_room_for_its_neighbours(acme: ScimClient, globex: ScimClient) -> None:
    """A quarter of the connections at most; the rest wait a second and are told to try again, or that twenty of theirs are under way."""
    user = await globex.create_user(userName="neighbour")
    for number in range(20):
        await acme.create_user(userName=f"user{number}", title="x" * 3000)
    heavy = " or ".join(f'title co "{number}y"' for number in range(100))

    searches = [asyncio.create_task(acme.get("/Users", params={"filter": heavy})) for _ in range(60)]
    answers = [await globex.get(f"/Users/{user['id']}") for _ in range(20)]

    assert {answer.status_code for answer in answers} == {200}
    searched = await asyncio.gather(*searches)
    assert {answer.status_code for answer in searched} <= {200, 400, 429, 503}
    assert all("retry-after" in answer.headers for answer in searched if answer.status_code in (429, 503))


@pytest.mark.threat("T49")
@pytest.mark.parametrize(("secret", "begun", "status"), [(None, b'{"userName":', 408), (None, b"", 408), ("wrong", b"", 401)])
async def test_a_body_that_stalls_is_answered_after_ten_seconds(acme: ScimClient, secret: str | None, begun: bytes, status: int) -> None:
    """Whether some of it came or nothing; a request that is refused without it waits five seconds for it."""
    host, port = acme.base_url.split("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    path = acme.base_url.partition(f":{port}")[2]
    head = f"POST {path}/Users HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret or acme.secret}\r\ncontent-length: 100\r\n\r\n"
    writer.write(head.encode() + begun)

    started = time.monotonic()
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    writer.close()

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"application/scim+json" in answer
    assert time.monotonic() - started < 40
