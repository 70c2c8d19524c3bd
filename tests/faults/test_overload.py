"""What the running service says when there is too much to do, no room on disk, no answer to a COMMIT, or neither Postgres nor Redis."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Self
from uuid import UUID

import pytest

from rollhouse.cli.embedded import EmbeddedPostgres
from rollhouse.database.pool import LINE, WAIT_SECONDS
from tests.faults.stage import Breakable, stop_immediately
from tests.limits.conftest import RedisServer
from tests.servers.service import ScimClient

HEAL_SECONDS = 10
SLOW_MACHINE = 20


async def one_get(client: ScimClient, path: str, port: int, go: asyncio.Event) -> tuple[int, bytes, float]:
    """Status, head and seconds of a request on a connection that was open before all of them went."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET {client.base_url.partition(str(port))[2]}{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {client.secret}\r\n\r\n".encode()
    await go.wait()
    started = time.monotonic()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    seconds = time.monotonic() - started
    writer.close()
    return int(head.split()[1]), head, seconds


@pytest.mark.threat("T38")
async def test_a_full_line_is_shed_over_http_before_its_wait_and_the_rest_is_served(stage: Breakable) -> None:
    """Fault F08, goal G9: all connections wait for a lock; who finds the line full is told at once, with 503 and Retry-After, and heals with the lock.

    By a value that several may have: what looks up an id or a unique value shares its place in the line.
    """
    clients = await stage.clients(24)
    for client in clients:
        await client.create_user(userName="ann")
    beyond = 100
    go = asyncio.Event()
    everybody = [(clients[number % 24], "/Users?filter=displayName%20eq%20%22ann%22") for number in range(LINE + 8 + beyond)]
    async with stage.admin() as admin, admin.transaction():
        await admin.execute("LOCK TABLE rollhouse.resources")
        asked = [asyncio.create_task(one_get(client, path, stage.service.port, go)) for client, path in everybody]
        await asyncio.sleep(0.5)
        go.set()
        answers = await asyncio.gather(*asked)
    early = [answer for answer in answers if answer[2] < WAIT_SECONDS]
    assert {status for status, _, _ in answers} == {503}
    assert all(b"\r\nretry-after: " in head for _, head, _ in answers)
    assert len(early) >= beyond // 2, "the line was full, and nobody was refused before the wait of the line was over"
    healing = time.monotonic()
    for client in clients[:4]:
        while (await client.get("/Users?count=1")).status_code != 200:
            assert time.monotonic() < healing + HEAL_SECONDS
    for client in clients:
        await client.close()


class Cut:
    """A proxy before Postgres that lets a statement through, and ends the connection instead of bringing the answer to one that holds `marked`."""

    def __init__(self, postgres: EmbeddedPostgres, folder: Path) -> None:
        self.folder = folder
        self.marked: bytes | None = None
        self.cuts = 0
        self._target = str(postgres.folder / ".s.PGSQL.5432")
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self.folder.mkdir(exist_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self.folder / ".s.PGSQL.5432"))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._open:
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, out = await asyncio.open_unix_connection(self._target)
        self._open |= {writer, out}
        silenced = False

        async def there() -> None:
            nonlocal silenced
            while data := await reader.read(65536):
                if self.marked is not None and self.marked in data:
                    silenced, self.marked = True, None
                out.write(data)

        async def back() -> None:
            while data := await theirs.read(65536):
                if silenced:
                    self.cuts += 1
                    return
                writer.write(data)

        tasks = [asyncio.create_task(there()), asyncio.create_task(back())]
        with contextlib.suppress(OSError):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in (writer, out):
            one.close()
            self._open.discard(one)


async def test_a_commit_whose_answer_is_lost_is_503_and_has_one_effect(breakable_postgres: EmbeddedPostgres, faults_folder: Path) -> None:
    """Fault F07: the statement was done, its answer never came; the client that tries again meets what it made, once, with one row in the audit."""
    async with Cut(breakable_postgres, faults_folder / "cut") as cut:
        url = f"postgresql://rollhouse_app@/rollhouse?host={cut.folder}&port=5432"
        stage = Breakable(breakable_postgres, faults_folder / "cut.log", url=url)
        await asyncio.to_thread(stage.service.start)
        try:
            (client,) = await stage.clients(1)
            group = await client.create_group(displayName="All")
            cut.marked = b"only.once@acme.example"
            lost = await client.post("/Users", {"userName": "only.once@acme.example"})
            assert (lost.status_code, cut.cuts) == (503, 1)
            assert lost.headers["retry-after"].isdecimal()
            again = await client.post("/Users", {"userName": "only.once@acme.example"})
            assert (again.status_code, again.json()["scimType"]) == (409, "uniqueness")
            (user,) = await client.find("Users", 'userName eq "only.once@acme.example"')

            add = {"op": "add", "path": "members", "value": [{"value": user["id"]}]}
            cut.marked = UUID(user["id"]).bytes
            assert (await client.patch_operations(f"/Groups/{group['id']}", add)).status_code == 503
            assert cut.cuts == 2
            assert (await client.patch_operations(f"/Groups/{group['id']}", add)).status_code == 204
            assert await client.members(group["id"]) == {user["id"]}
            async with stage.admin() as admin:
                rows = await admin.fetch(
                    f"SELECT action FROM rollhouse.audit WHERE tenant_id = '{client.tenant_id}' AND target_type IN ('User', 'Group') ORDER BY id"
                )
            assert [row["action"] for row in rows] == ["resource.created", "resource.created", "resource.updated"]
            await client.close()
        finally:
            await asyncio.to_thread(stage.service.stop)


@pytest.fixture
def small_disk(breakable_postgres: EmbeddedPostgres, faults_folder: Path) -> Iterator[Path]:
    """A disk of 24 MB in memory, which belongs to the server's user."""
    place = faults_folder / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(place)], check=True)
    owner = breakable_postgres.folder.stat()
    os.chown(place, owner.st_uid, owner.st_gid)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk of 24 MB, without which the disk of this machine would have to be filled")
async def test_a_full_disk_refuses_writes_and_serves_reads(stage: Breakable, small_disk: Path) -> None:
    """Fault F10: SQLSTATE 53100 is 503 for who writes, reads and readiness go on, and room on the disk is all the cure there is."""
    (client,) = await stage.clients(1)
    user = await client.create_user(userName="ann")
    async with stage.admin() as admin:
        await admin.execute(f"CREATE TABLESPACE small LOCATION '{small_disk}'")
        await admin.execute("ALTER TABLE rollhouse.resources SET TABLESPACE small")
        filler = small_disk / "filler"
        try:
            free = shutil.disk_usage(small_disk).free
            filler.write_bytes(bytes(free))
            photo = "https://acme.example/" + "p" * 1900
            answer = None
            for number in range(400):
                answer = await client.post("/Users", {"userName": f"user{number}", "photos": [{"value": photo}]})
                if answer.status_code != 201:
                    break
            assert answer is not None
            assert answer.status_code == 503, answer.text
            assert answer.headers["retry-after"].isdecimal()
            assert "No space" not in answer.text
            assert (await client.get_user(user["id"]))["userName"] == "ann"
            assert (await stage.probe("/readyz"))[0] == 200
            filler.unlink()
            assert (await client.post("/Users", {"userName": "after"})).status_code == 201
        finally:
            filler.unlink(missing_ok=True)
            await admin.execute("ALTER TABLE rollhouse.resources SET TABLESPACE pg_default")
            await admin.execute("DROP TABLESPACE small")
    await client.close()


@pytest.fixture
async def both(breakable_postgres: EmbeddedPostgres, faults_folder: Path, tmp_path: Path) -> AsyncIterator[tuple[Breakable, RedisServer]]:
    """A service on a Postgres and a Redis that may both be ended."""
    redis = RedisServer(tmp_path)
    redis.start()
    stage = Breakable(breakable_postgres, faults_folder / "both.log", ROLLHOUSE_REDIS_URL=redis.url)
    await asyncio.to_thread(stage.service.start)
    yield stage, redis
    assert await asyncio.to_thread(stage.service.stop) == 0
    redis.stop()


async def test_without_postgres_and_redis_everybody_gets_503_and_nothing_is_restarted_to_heal(both: tuple[Breakable, RedisServer]) -> None:
    """Fault F28: no 401, no 404 and no 500; the process stays alive, says that it is not ready, and serves again when both are back."""
    stage, redis = both
    (client,) = await stage.clients(1)
    user = await client.create_user(userName="ann")
    redis.send(signal.SIGKILL)
    await asyncio.to_thread(stop_immediately, stage.postgres)
    paths = ("/Users", f"/Users/{user['id']}", '/Users?filter=userName eq "ann"')
    gone = time.monotonic()
    while time.monotonic() < gone + 6:  # longer than a secret is believed
        for path in paths:
            answer = await client.get(path)
            assert answer.status_code == 503, answer.text
            assert answer.elapsed.total_seconds() < 0.1 * SLOW_MACHINE
            assert answer.headers["retry-after"].isdecimal()
    assert (await client.post("/Users", {"userName": "bob"})).status_code == 503
    assert (await stage.probe("/livez"))[0] == 200
    assert (await stage.probe("/readyz"))[0] == 503

    await asyncio.to_thread(stage.postgres.start)
    redis.start()
    back = time.monotonic()
    while (await client.get(f"/Users/{user['id']}")).status_code != 200:
        assert time.monotonic() < back + HEAL_SECONDS
    assert [one["userName"] for one in (await client.get("/Users")).json()["Resources"]] == ["ann"]
    await client.close()
