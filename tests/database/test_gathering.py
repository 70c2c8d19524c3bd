"""What is asked at once is asked in one statement, and everybody gets his own answer: no older than his question, and not spoiled by another's."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from rollhouse.database import gathering
from rollhouse.database.gathering import Gathering, Item, Question
from rollhouse.scim.errors import Unavailable

ONE, TWO = UUID(int=1001), UUID(int=1002)


class Server:
    """Answers a statement when it is told to: each item with itself."""

    def __init__(self) -> None:
        self.statements: list[tuple[Question, list[Item], asyncio.Future[None]]] = []
        self.ended: list[int] = []
        self.connection = asyncio.Event()
        self.connection.set()
        self._asked = asyncio.Event()

    async def carry(self, question: Question, take: Callable[[], list[Item]]) -> list[Any]:
        await self.connection.wait()
        items = take()
        done = asyncio.get_running_loop().create_future()
        self.statements.append((question, items, done))
        self._asked.set()
        try:
            await done
        except asyncio.CancelledError:
            self.ended.append(len(self.statements) - 1)
            raise
        return [{"place": place, "item": item} for place, item in enumerate(items, 1) if item != ("nobody",)]

    async def has(self, number: int) -> None:
        async with asyncio.timeout(5):
            while len(self.statements) < number:
                self._asked.clear()
                await self._asked.wait()

    def asked(self) -> list[list[object]]:
        return [[item[0] for item in items] for _, items, _ in self.statements]

    def answer(self, number: int, error: Exception | None = None) -> None:
        done = self.statements[number][2]
        done.set_exception(error) if error is not None else done.set_result(None)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def gathered(server: Server, monkeypatch: pytest.MonkeyPatch) -> Gathering:
    monkeypatch.setattr(gathering, "PATIENCE_SECONDS", 60)
    return Gathering(server.carry)


def ask(gathered: Gathering, *items: str, tenant_id: UUID = ONE, sql: str = "read") -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(gathered.ask((sql, tenant_id, ()), (item,))) for item in items]


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def results(tasks: list[asyncio.Task[Any]]) -> list[Any]:
    return [found["item"][0] if found is not None else None for found in await asyncio.gather(*tasks)]


async def test_who_asks_in_one_turn_is_answered_by_one_statement_each_with_his_own(gathered: Gathering, server: Server) -> None:
    asked = ask(gathered, "a", "nobody", "b", "a")
    await turns()
    assert server.asked() == [["a", "nobody", "b", "a"]]
    server.answer(0)
    assert await results(asked) == ["a", None, "b", "a"]


async def test_who_asks_while_a_statement_is_under_way_is_answered_by_the_next(gathered: Gathering, server: Server) -> None:
    first = ask(gathered, "a")
    await turns()
    later = ask(gathered, "b")
    await turns()
    later += ask(gathered, "c")
    await turns()
    assert server.asked() == [["a"]], "an answer would be older than its question"
    server.answer(0)
    assert await results(first) == ["a"]
    await turns()
    assert server.asked() == [["a"], ["b", "c"]]
    server.answer(1)
    assert await results(later) == ["b", "c"]


async def test_nobody_waits_for_another_tenant_or_another_question(gathered: Gathering, server: Server) -> None:
    ask(gathered, "a")
    await turns()
    others = [*ask(gathered, "b", tenant_id=TWO), *ask(gathered, "c", sql="change")]
    await turns()
    assert [(question[0], question[1], items) for question, items, _ in server.statements] == [
        ("read", ONE, [("a",)]),
        ("read", TWO, [("b",)]),
        ("change", ONE, [("c",)]),
    ]
    server.answer(1)
    server.answer(2)
    assert await results(others) == ["b", "c"]
    server.answer(0)
    await turns()
    assert gathered._lines == {}
    assert gathered._tasks == set()


async def test_a_statement_that_takes_long_is_not_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow network two who take turns would each wait for the other's answer, and get half as much done."""
    monkeypatch.setattr(gathering, "PATIENCE_SECONDS", 0.001)
    gathered = Gathering(server.carry)
    first = ask(gathered, "a")
    await turns()
    later = ask(gathered, "b", "c")
    await server.has(2)
    assert server.asked() == [["a"], ["b", "c"]]
    server.answer(1)
    assert await results(later) == ["b", "c"]
    third = ask(gathered, "d")
    await server.has(3)
    server.answer(0)
    server.answer(2)
    assert await results([*first, *third]) == ["a", "d"]
    await turns()
    assert gathered._lines == {}


async def test_who_comes_while_a_statement_waits_for_its_connection_goes_with_it(gathered: Gathering, server: Server) -> None:
    server.connection.clear()
    asked = ask(gathered, "a")
    await turns()
    asked += ask(gathered, "b")
    await turns()
    server.connection.set()
    await server.has(1)
    assert server.asked() == [["a", "b"]]
    server.answer(0)
    assert await results(asked) == ["a", "b"]
    await turns()
    assert gathered._lines == {}


async def test_who_finds_no_connection_in_time_is_refused_and_who_came_later_is_not(gathered: Gathering, server: Server) -> None:
    busy = asyncio.get_running_loop().create_future()
    carry = gathered._carry

    async def refuse(question: Question, take: Callable[[], list[Item]]) -> list[Any]:
        gathered._carry = carry
        await busy
        raise AssertionError("unreachable")

    gathered._carry = refuse
    refused = ask(gathered, "a", "b")
    await turns()
    later = ask(gathered, "c")
    await turns()
    busy.set_exception(Unavailable("The service is busy."))
    assert [type(found) for found in await asyncio.gather(*refused, return_exceptions=True)] == [Unavailable, Unavailable]
    await server.has(1)
    assert server.asked() == [["c"]]
    server.answer(0)
    assert await results(later) == ["c"]
    await turns()
    assert gathered._lines == {}


async def test_where_nobody_finds_a_connection_nobody_is_left_behind(gathered: Gathering) -> None:
    async def refuse(question: Question, take: Callable[[], list[Item]]) -> list[Any]:
        raise Unavailable("The service is busy.")

    gathered._carry = refuse
    for _ in range(2):
        refused = await asyncio.gather(*ask(gathered, "a", "b"), return_exceptions=True)
        assert [type(found) for found in refused] == [Unavailable, Unavailable]
        await turns()
        assert gathered._lines == {}


async def test_a_statement_that_is_begun_beside_another_is_sent_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the other ends while it waits for its connection."""
    monkeypatch.setattr(gathering, "PATIENCE_SECONDS", 0.001)
    gathered = Gathering(server.carry)
    asked = ask(gathered, "a")
    await turns()
    server.connection.clear()
    asked += ask(gathered, "b")
    async with asyncio.timeout(5):
        while len(gathered._tasks) < 2:  # noqa: ASYNC110 - nothing tells that a task was made
            await asyncio.sleep(0.001)
    server.answer(0)
    await turns()
    server.connection.set()
    await server.has(2)
    await turns()
    assert server.asked() == [["a"], ["b"]]
    server.answer(1)
    assert await results(asked) == ["a", "b"]
    await turns()
    assert gathered._lines == {}


async def test_who_leaves_takes_nobody_with_him_and_is_not_asked_for(gathered: Gathering, server: Server) -> None:
    """Neither who asked first, nor one who waits: the statement is theirs in common. What was not sent when its request ended is not sent."""
    asked = ask(gathered, "a", "b")
    await turns()
    waiting = ask(gathered, "c", "d")
    await turns()
    asked[0].cancel()
    waiting[0].cancel()
    await turns()
    server.answer(0)
    assert await results(asked[1:]) == ["b"]
    await turns()
    assert server.asked() == [["a", "b"], ["d"]]
    server.answer(1)
    assert await results(waiting[1:]) == ["d"]
    assert server.ended == []


async def test_a_statement_that_nobody_waits_for_is_ended_and_the_next_one_is_sent(gathered: Gathering, server: Server) -> None:
    asked = ask(gathered, "a", "b")
    await turns()
    waiting = ask(gathered, "c")
    await turns()
    for one in asked:
        one.cancel()
    await turns()
    assert server.ended == [0]
    assert server.asked() == [["a", "b"], ["c"]]
    server.answer(1)
    assert await results(waiting) == ["c"]
    await turns()
    assert gathered._lines == {}


async def test_who_leaves_with_his_answer_ends_no_statement_of_others(gathered: Gathering, server: Server) -> None:
    asked = ask(gathered, "a")
    await turns()
    waiting = ask(gathered, "b")
    await turns()
    server.answer(0)
    await asyncio.sleep(0)
    assert server.asked() == [["a"], ["b"]], "the answer is there, and who waits for it has not gone on"
    asked[0].cancel()
    await turns()
    assert asked[0].cancelled()
    assert server.ended == []
    server.answer(1)
    assert await results(waiting) == ["b"]


async def test_who_comes_when_all_have_left_a_statement_that_is_not_sent_is_answered(gathered: Gathering, server: Server) -> None:
    server.connection.clear()
    for one in ask(gathered, "a", "b"):
        await turns()
        one.cancel()
    await turns()
    later = ask(gathered, "c")
    await turns()
    server.connection.set()
    await server.has(1)
    assert server.asked() == [["c"]]
    server.answer(0)
    assert await results(later) == ["c"]


async def test_a_failure_is_everybodys_and_does_not_stay(gathered: Gathering, server: Server) -> None:
    asked = ask(gathered, "a", "b")
    await turns()
    next_one = ask(gathered, "c")
    await turns()
    server.answer(0, Unavailable("The service cannot reach its database."))
    assert [type(found) for found in await asyncio.gather(*asked, return_exceptions=True)] == [Unavailable, Unavailable]
    await turns()
    server.answer(1)
    assert await results(next_one) == ["c"]


async def test_a_statement_in_common_is_part_of_nobodys_context(server: Server) -> None:
    from rollhouse.telemetry import traces

    seen: list[Any] = []

    async def carry(question: Question, take: Callable[[], list[Item]]) -> list[Any]:
        take()
        seen.append(traces._current.get())
        return []

    token = traces._current.set(("tracer", "span"))  # type: ignore[arg-type]
    try:
        await Gathering(carry).ask(("read", ONE, ()), ("a",))
    finally:
        traces._current.reset(token)
    assert seen == [None]


def test_a_tenant_is_in_company_while_it_has_several_requests_and_just_after(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(gathering.time, "monotonic", lambda: now)
    gathered = Gathering(Server().carry)
    assert not gathered.is_worth_a_turn(ONE, in_company=False)
    assert gathered.is_worth_a_turn(ONE, in_company=True)
    assert not gathered.is_worth_a_turn(TWO, in_company=False)
    now += 0.009
    assert gathered.is_worth_a_turn(ONE, in_company=False)
    now += 0.002
    assert not gathered.is_worth_a_turn(ONE, in_company=False)


def test_what_is_remembered_of_tenants_is_bounded() -> None:
    gathered = Gathering(Server().carry)
    for number in range(3 * gathering.TENANTS):
        gathered.is_worth_a_turn(UUID(int=number), in_company=True)
    assert len(gathered._met) <= gathering.TENANTS
