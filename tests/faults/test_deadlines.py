"""Requests over HTTP that meet a database that hangs or a client that dawdles or goes away (faults F08, F18, F20): each ends in its time."""

import asyncio
import json
import time
from urllib.parse import urlsplit

from tests.faults.stage import Breakable, family_of, frozen, postmaster_of
from tests.servers.service import ScimClient

DEADLINE_SECONDS = 8.0
TICK_SECONDS = 0.25
SLACK_SECONDS = 1.0
HEAL_SECONDS = 5.0


def post_of(client: ScimClient, name: str) -> tuple[bytes, bytes]:
    """Head and body of a request that creates a user."""
    body = json.dumps({"userName": name}).encode()
    path = urlsplit(client.base_url).path
    head = f"POST {path}/Users HTTP/1.1\r\nhost: slow\r\nauthorization: Bearer {client.secret}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode(), body


async def send_slowly(stage: Breakable, client: ScimClient, name: str, *, seconds: float, is_whole: bool) -> tuple[int, float]:
    """The status of a POST whose body takes that long, and after how long it came; without its last byte the body never ends."""
    head, body = post_of(client, name)
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.service.port)
    started = time.monotonic()
    writer.write(head + body[:-1])
    if is_whole:
        await asyncio.sleep(seconds)
        writer.write(body[-1:])
    status = int((await reader.readuntil(b"\r\n")).split()[1])
    writer.close()
    return status, time.monotonic() - started


async def pid_of_last_read(stage: Breakable) -> int:
    """The backend that served the latest read: the pool uses it for the next one, too."""
    async with stage.admin() as admin:
        return await admin.fetchval(
            "SELECT pid FROM pg_stat_activity WHERE usename = 'rollhouse_app' AND query LIKE '%get_resource%' ORDER BY query_start DESC LIMIT 1"
        )


async def test_a_hanging_statement_and_a_slow_body_each_end_at_their_own_limit(stage: Breakable) -> None:
    """8 s for what the service does, 10 s for a body (408), and the time of a body is not the service's."""
    (client,) = await stage.clients(1)
    user = await client.create_user(userName="ann")
    await client.get_user(user["id"])
    pid = await pid_of_last_read(stage)
    with frozen([pid]):
        started = time.monotonic()
        hanging = asyncio.create_task(client.get(f"/Users/{user['id']}"))
        slow = asyncio.create_task(send_slowly(stage, client, "slow", seconds=9.0, is_whole=True))
        endless = asyncio.create_task(send_slowly(stage, client, "endless", seconds=0, is_whole=False))
        response = await hanging
        seconds = time.monotonic() - started
        after = await client.get(f"/Users/{user['id']}")

        assert response.status_code == 503
        assert response.headers["retry-after"]
        assert DEADLINE_SECONDS <= seconds < DEADLINE_SECONDS + TICK_SECONDS + SLACK_SECONDS
        assert after.status_code == 200, "the hanging connection is not used again"
    assert (await slow)[0] == 201
    status, seconds = await endless
    assert status == 408
    assert seconds >= 10
    assert len(await client.find("Users", 'userName eq "slow"')) == 1
    assert await client.find("Users", 'userName eq "endless"') == []
    async with stage.admin() as admin:
        deadline = time.monotonic() + HEAL_SECONDS
        while await admin.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid):
            assert time.monotonic() < deadline, "its backend is still there"
            await asyncio.sleep(0.05)
    await client.close()


async def test_a_server_that_stands_still_costs_each_request_its_deadline_at_most(stage: Breakable) -> None:
    """Fault F18: nothing is refused and nothing answers; the probe of liveness does not notice, and service is back when the server is."""
    clients = await stage.clients(6)
    users = [await client.create_user(userName="ann") for client in clients]

    async def ask(number: int) -> tuple[int, float]:
        client = clients[number % len(clients)]
        started = time.monotonic()
        response = await (client.get(f"/Users/{users[number % len(users)]['id']}") if number % 2 else client.post("/Users", {"userName": f"user{number}"}))
        return response.status_code, time.monotonic() - started

    with frozen(family_of(postmaster_of(stage.postgres))):
        asked = [asyncio.create_task(ask(number)) for number in range(36)]
        while not all(task.done() for task in asked):
            status, seconds = await stage.probe("/livez")
            assert (status, seconds < SLACK_SECONDS) == (200, True)
            await asyncio.sleep(0.25)
        status, seconds = await stage.probe("/readyz")
        assert (status, seconds < 2 + SLACK_SECONDS) == (503, True)
    thawed = time.monotonic()

    answers = [task.result() for task in asked]
    assert {status for status, _ in answers} == {503}
    assert max(seconds for _, seconds in answers) < DEADLINE_SECONDS + TICK_SECONDS + SLACK_SECONDS
    while (await clients[0].post("/Users", {"userName": f"after{time.monotonic()}"})).status_code != 201:
        assert time.monotonic() < thawed + HEAL_SECONDS
    for client, user in zip(clients, users, strict=True):
        assert (await client.get_user(user["id"]))["userName"] == "ann"
        await client.close()


async def test_a_locked_table_is_503_in_time_and_what_needs_no_table_goes_on(stage: Breakable) -> None:
    """Fault F08: reads, composed filters and writes are refused after the lock's two seconds; discovery and the probes answer meanwhile."""
    (client,) = await stage.clients(1)
    user = await client.create_user(userName="ann")
    async with stage.admin() as admin, admin.transaction():
        await admin.execute("LOCK TABLE rollhouse.resources")
        blocked = [
            asyncio.create_task(client.get(f"/Users/{user['id']}")),
            asyncio.create_task(client.get('/Users?filter=userName co "n"')),
            asyncio.create_task(client.post("/Users", {"userName": "bob"})),
        ]
        assert (await client.get("/ServiceProviderConfig")).status_code == 200
        assert (await stage.probe("/livez"))[0] == 200
        assert (await stage.probe("/readyz"))[0] == 200
        answers = await asyncio.gather(*blocked)
        assert [answer.status_code for answer in answers] == [503, 503, 503]
        assert max(answer.elapsed.total_seconds() for answer in answers) < DEADLINE_SECONDS
    assert (await client.get("/Users")).json()["totalResults"] == 1
    await client.close()


async def test_clients_that_hang_up_leave_whole_users_or_none_and_no_connection_at_work(stage: Breakable) -> None:
    """Fault F20: the socket is closed after every possible number of bytes of the request, and right after the last one."""
    (client,) = await stage.clients(1)
    head, _ = post_of(client, "name0000")

    async def hang_up(number: int) -> None:
        own, body = post_of(client, f"name{number:04}")
        whole = own + body
        assert len(own) == len(head)
        _, writer = await asyncio.open_connection("127.0.0.1", stage.service.port)
        writer.write(whole[: len(head) - 20 + number] if number < len(body) + 20 else whole)
        await writer.drain()
        writer.transport.abort()

    await asyncio.gather(*(hang_up(number) for number in range(120)))

    deadline = time.monotonic() + DEADLINE_SECONDS + HEAL_SECONDS
    total, users, keys, audits, at_work = 0, -1, 0, 0, 1
    while at_work or total != users:  # what was sent before the hang-up may still be under way
        assert time.monotonic() < deadline, "a connection is still at work, or a user is not whole"
        total = (await client.get("/Users")).json()["totalResults"]
        async with stage.admin() as admin:
            at_work = await admin.fetchval("SELECT count(*) FROM pg_stat_activity WHERE usename = 'rollhouse_app' AND state <> 'idle'")
            users, keys, audits = [
                await admin.fetchval(f"SELECT count(*) FROM rollhouse.{table} WHERE tenant_id = '{client.tenant_id}'{only}")
                for table, only in (("resources", ""), ("resource_keys", " AND is_unique"), ("audit", " AND target_type = 'User'"))
            ]
    assert users == keys == audits
    assert (await client.post("/Users", {"userName": "after"})).status_code == 201
    await client.close()
