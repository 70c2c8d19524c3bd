"""A Postgres that a test may break, a service on it, and clients that keep asking while it is broken."""

import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import asyncpg
import msgspec

from rollhouse.cli.embedded import EmbeddedPostgres
from rollhouse.database.pool import Database
from tests.conftest import PEPPER, new_client
from tests.servers.service import ScimClient, Serving

_names = itertools.count(1)


class Answer(msgspec.Struct, frozen=True):
    """What one request met: `at` is when its answer came, by the monotonic clock."""

    kind: str
    status: int
    retry_after: str | None
    name: str
    at: float
    seconds: float


class Breakable:
    """A Postgres and a service as a process of its own."""

    def __init__(self, postgres: EmbeddedPostgres, log: Path, *, url: str | None = None, **settings: str) -> None:
        self.postgres = postgres
        self.app_url = postgres.url("rollhouse_app")
        self.service = Serving(log, {"ROLLHOUSE_DATABASE_URL": url or self.app_url, "ROLLHOUSE_PEPPERS": PEPPER} | settings)

    async def clients(self, count: int) -> list[ScimClient]:
        """Clients of fresh tenants without a rate limit."""
        database = Database(self.app_url, connections=1)
        await database.open()
        made = [await new_client(self.service, database) for _ in range(count)]
        await database.close()
        return made

    @contextlib.asynccontextmanager
    async def admin(self) -> AsyncIterator[Any]:
        """The superuser's connection to the service's database."""
        connection = await asyncpg.connect(self.postgres.url("postgres"))
        try:
            yield connection
        finally:
            await connection.close()

    async def probe(self, path: str) -> tuple[int, float]:
        """The status of a health probe and how long it took, on a connection of its own."""
        started = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.service.port)
        writer.write(f"GET {path} HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n")
        writer.close()
        return int(head.split()[1]), time.monotonic() - started


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 10) -> None:
    """Wait until the condition holds; TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.005)


def postmaster_of(postgres: EmbeddedPostgres) -> int:
    return int((postgres.folder / "postmaster.pid").read_text().split()[0])


def family_of(postmaster: int) -> list[int]:
    """The server's processes, the postmaster first."""
    found = [postmaster]
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if entry.name.isdecimal() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == postmaster:
                found.append(int(entry.name))
    return found


@contextlib.contextmanager
def frozen(pids: list[int]) -> Any:
    """The processes stand still for the length of the block: they keep their sockets and say nothing."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def stop_immediately(postgres: EmbeddedPostgres) -> None:
    """End the server as a crash would: no shutdown checkpoint, clients are cut off."""
    os.kill(postmaster_of(postgres), signal.SIGQUIT)
    assert postgres._has_ended(10)


class Load:
    """Requests of one client, one after the other in each of a few workers, until the block ends."""

    def __init__(self, client: ScimClient, user_id: str, *, readers: int, writers: int) -> None:
        self.client = client
        self.user_id = user_id
        self.answers: list[Answer] = []
        self._workers = [self._read] * readers + [self._write] * writers
        self._is_over = False

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._work(one)) for one in self._workers]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)

    async def _work(self, request: Any) -> None:
        while not self._is_over:
            name = f"load{next(_names)}"
            started = time.monotonic()
            response = await request(name)
            now = time.monotonic()
            kind = "write" if request == self._write else "read"
            self.answers.append(Answer(kind, response.status_code, response.headers.get("retry-after"), name, now, now - started))
            await asyncio.sleep(0.02 if response.status_code == 503 else 0)

    async def _read(self, _: str) -> Any:
        return await self.client.get(f"/Users/{self.user_id}")

    async def _write(self, name: str) -> Any:
        return await self.client.post("/Users", {"userName": name})

    def statuses(self, kind: str, *, since: float = 0) -> set[int]:
        return {answer.status for answer in self.answers if answer.kind == kind and answer.at >= since}

    async def until_answers(self, count: int) -> None:
        """Wait until there are so many answers."""

        async def are_there() -> bool:
            return len(self.answers) >= count

        await until(are_there)

    async def until_all_answered(self, since: float) -> None:
        """Wait until there was an answer of each kind since then: a read is answered thirty times while a write waits."""

        async def are_there() -> bool:
            return all(self.statuses(kind, since=since) for kind in ("read", "write"))

        await until(are_there)

    async def until_healed(self, since: float, seconds: float) -> None:
        """Wait until every kind of request succeeds again; fails after `seconds`."""
        kinds = {"write" if one == self._write else "read" for one in self._workers}
        while True:
            healed = {answer.kind for answer in self.answers if answer.at - answer.seconds >= since and answer.status < 300}
            if healed == kinds:
                return
            assert time.monotonic() - since < seconds, [answer for answer in self.answers if answer.at > since][-5:]
            await asyncio.sleep(0.02)

    async def check_nothing_lost(self) -> None:
        """Every write that was acknowledged is there, every name at most once, and every user there has its row in the audit."""
        assert {answer.retry_after for answer in self.answers if answer.status == 503} <= {"2", "5"}
        names = [user["userName"] for user in await self.users()]
        acknowledged = {answer.name for answer in self.answers if answer.kind == "write" and answer.status == 201}
        assert acknowledged, "nothing was written"
        assert acknowledged <= set(names)
        assert len(names) == len(set(names))

    async def users(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = (await self.client.get(f"/Users?startIndex={len(found) + 1}&count=200&attributes=userName")).json()
            found += page["Resources"]
            if len(found) >= page["totalResults"]:
                return found
