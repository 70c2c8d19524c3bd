"""A directory that is asked by SCIM: the requests of each operation, what has to come back, and what is undone behind a measurement."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote_plus

from benchmarks.peer_servers import operations
from benchmarks.peer_servers.operations import FIND, GET, PAGE, PATCH, POST, add_to
from benchmarks.peer_servers.samples import NoRatio
from benchmarks.wire import Connection, prepare
from rollhouse.cli.seed import seeded_user

PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
SAMPLE = 400
"""Users that are asked for in turn; a multiple of the connections, so that each of them is always asked for by the same one."""
LEFT_OUT = 64
"""Users beside them, for pgbench."""
LEAST = 3
"""Requests that are completed in every measurement, however slow."""


class Request(NamedTuple):
    """The bytes, and what they are about: the number of a user, or an id."""

    sent: bytes
    about: object


class Answered(NamedTuple):
    """A request's answer, and how long it took."""

    about: object
    status: int
    body: bytes
    seconds: float


def numbers_of(users: int) -> list[int]:
    """Users from the second half, spread evenly: none of them is in a group."""
    first, wanted = users // 2, SAMPLE + LEFT_OUT
    return [first + at * (users - first) // wanted for at in range(wanted)]


class Subject:
    """One server's directory of so many users; `groups` gives the id of the group of each size."""

    def __init__(self, name: str, slug: str, users: int, address: tuple[int, str, str], family: Callable[[], set[int]], *, sends_text: bool) -> None:
        self.name, self.slug, self.users, self._family = name, slug, users, family
        self._began_with = family()
        self.port, self.path, self.secret = address
        self.sends_text = sends_text
        self.uses_postgres = True
        self.groups: dict[int, str] = {}
        self.numbers = numbers_of(users)[:SAMPLE]
        self.ids: dict[int, str] = {}
        self.is_active: dict[int, bool] = {}
        self._turn = itertools.count()
        self._fresh = itertools.count(int(time.time() * 1000))

    def __str__(self) -> str:
        return f"{self.name}, {self.users:,} users"

    def processes(self) -> set[int]:
        """Its processes, those that it began with among them: one that was replaced would have begun at zero, with another directory."""
        found = self._family()
        if not self._began_with <= found:
            raise NoRatio(f"{self}: a process has ended; no ratio is printed.")
        return found

    async def open(self) -> None:
        """Learn what the directory calls the sample's users, and see that it does what it is measured by."""
        found = await self.ask([self._find(number) for number in self.numbers], {200}, 8)
        for number, body in ((one.about, json.loads(one.body)) for one in found):
            self._insist(len(body["Resources"]) == 1 and body["Resources"][0]["userName"] == self._user(number)["userName"], FIND)
            self.ids[number], self.is_active[number] = body["Resources"][0]["id"], body["Resources"][0]["active"]
        await self._check()

    async def _check(self) -> None:
        number = self.numbers[0]
        user = f"/Users/{self.ids[number]}"
        await self.measured(PATCH, self.requests(PATCH, 1), 1, 60)
        self._insist((await self._read(user))["active"] is self.is_active[number], PATCH)
        page = await self._read("/Users?startIndex=1&count=100")
        self._insist(len(page["Resources"]) == 100 and page["totalResults"] >= self.users, PAGE)
        made = await self.measured(POST, self.requests(POST, 1), 1, 60)
        new = f"/Users/{json.loads(made[0].body)['id']}"
        self._insist((await self._read(new))["userName"].startswith("new"), POST)
        await self.undo(POST, made)
        for size, group in self.groups.items():
            added = await self.measured(add_to(size), self.requests(add_to(size), 1), 1, 60)
            self._insist(added[0].about in {one["value"] for one in (await self._read(f"/Groups/{group}"))["members"]}, add_to(size))
            await self.undo(add_to(size), added)
            self._insist(len((await self._read(f"/Groups/{group}"))["members"]) == size, add_to(size))

    def _insist(self, is_so: bool, operation: str) -> None:  # noqa: FBT001 - what is insisted on
        if not is_so:
            raise NoRatio(f"{self}: {operation} did not do what it says; no ratio is printed.")

    async def _read(self, path: str) -> dict:
        return json.loads((await self.ask([Request(self._prepare("GET", path), None)], {200}, 1))[0].body)

    def _prepare(self, method: str, path: str, body: object = None) -> bytes:
        return prepare(method, self.path + path, self.secret, b"" if body is None else json.dumps(body).encode())

    def _user(self, number: int) -> dict:
        return seeded_user(self.slug, number)

    def _find(self, number: int) -> Request:
        wanted = quote_plus(f'userName eq "{self._user(number)["userName"]}"')
        return Request(self._prepare("GET", f"/Users?filter={wanted}"), number)

    def requests(self, operation: str, count: int) -> list[Request]:
        """So many requests of an operation, each about another user than the one before."""
        match operation:
            case operations.GET:
                return [Request(self._prepare("GET", f"/Users/{self.ids[number]}"), number) for number in self._picked(count)]
            case operations.FIND:
                return [self._find(number) for number in self._picked(count)]
            case operations.PAGE:
                return [Request(self._prepare("GET", "/Users?startIndex=1&count=100"), None)] * count
            case operations.POST:
                return [Request(self._prepare("POST", "/Users", self._new_user()), None) for _ in range(count)]
            case operations.PATCH:
                return self._switches(count)
        group = next(group for size, group in self.groups.items() if operation == add_to(size))
        return [self._addition(group, self.ids[number]) for number in self.numbers[:count]]

    def _picked(self, count: int) -> list[int]:
        return [self.numbers[next(self._turn) % SAMPLE] for _ in range(count)]

    def _new_user(self) -> dict:
        number = next(self._fresh)
        name = f"new{number}"
        document = self._user(1) | {"userName": f"{name}@{self.slug}.example", "externalId": f"{self.slug}-{number}", "displayName": f"New {number}"}
        document["emails"] = [{"value": f"{name}@mail.{self.slug}.example", "type": "work", "primary": True}]
        return document

    def _switches(self, count: int) -> list[Request]:
        """Every request changes something: each user is switched off and on in turn."""
        wanted = dict(self.is_active)
        found = []
        for number in itertools.islice(itertools.cycle(self.numbers), count):
            wanted[number] = not wanted[number]
            value = str(wanted[number]) if self.sends_text else wanted[number]
            body = {"schemas": [PATCH_URN], "Operations": [{"op": "Replace", "path": "active", "value": value}]}
            found.append(Request(self._prepare("PATCH", f"/Users/{self.ids[number]}", body), number))
        return found

    def _addition(self, group: str, member: str) -> Request:
        body = {"schemas": [PATCH_URN], "Operations": [{"op": "Add", "path": "members", "value": [{"value": member}]}]}
        return Request(self._prepare("PATCH", f"/Groups/{group}", body), member)

    def _removal(self, members: list[str]) -> list[dict]:
        return [{"op": "Remove", "path": f'members[value eq "{member}"]'} for member in members]

    async def ask(self, requests: list[Request], expected: set[int], connections: int, seconds: float = 600) -> list[Answered]:
        """The answers that came before the time was over, and to at least three requests (or all of them).

        Over new connections: Rollhouse ends one that has said nothing for ten seconds, and the others take longer than that in between.
        """
        deadline = time.monotonic() + seconds
        answers: list[Answered] = []

        async def work(connection: Connection, mine: list[Request]) -> None:
            for request in mine:
                if time.monotonic() > deadline and len(answers) >= LEAST:
                    return
                what = request.sent.split(b"\r\n", 1)[0].decode()
                try:
                    status, body, taken = await connection.send(request.sent)
                except (OSError, asyncio.IncompleteReadError) as error:
                    raise NoRatio(f"{self}: {what} was not answered; no ratio is printed. {error}") from error
                if status not in expected:
                    raise NoRatio(f"{self}: {what} was answered with {status}; no ratio is printed. {body[:300].decode(errors='replace')}")
                answers.append(Answered(request.about, status, body, taken))

        opened = [await Connection("127.0.0.1", self.port).open() for _ in range(connections)]
        try:
            async with asyncio.TaskGroup() as group:
                for at, connection in enumerate(opened):
                    group.create_task(work(connection, requests[at::connections]))
        except* NoRatio as failed:
            raise failed.exceptions[0] from None
        finally:
            for connection in opened:
                connection.close()
        return answers

    async def measured(self, operation: str, requests: list[Request], connections: int, seconds: float) -> list[Answered]:
        expected = {201} if operation == POST else {200} if operation in (GET, FIND, PAGE) else {200, 204}
        answers = await self.ask(requests, expected, connections, seconds)
        if operation == PATCH:
            for one in answers:
                self.is_active[one.about] = not self.is_active[one.about]
        return answers

    async def undo(self, operation: str, answers: list[Answered]) -> None:
        """Leave the directory as large as it was."""
        if operation == POST:
            paths = [f"/Users/{json.loads(one.body)['id']}" for one in answers]
            await self.ask([Request(self._prepare("DELETE", path), None) for path in paths], {204}, 8)
        elif operation.startswith("add"):
            group = next(group for size, group in self.groups.items() if operation == add_to(size))
            body = {"schemas": [PATCH_URN], "Operations": self._removal([str(one.about) for one in answers])}
            await self.ask([Request(self._prepare("PATCH", f"/Groups/{group}", body), None)], {200, 204}, 1)


class DjangoSubject(Subject):
    """django-scim2 removes members by value only."""

    def _removal(self, members: list[str]) -> list[dict]:
        return [{"op": "Remove", "path": "members", "value": [{"value": member} for member in members]}]
