"""What the comparison with other servers refuses to print a ratio of, and when it says that a goal is met."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable

import pytest
from benchmarks.peer_servers.goals import HUGE, LARGE, LIMIT, MEMORY, OURS, SMALL, Ratio, ratios
from benchmarks.peer_servers.limit import AUDIT
from benchmarks.peer_servers.operations import FIND, GET, PAGE, PATCH, POST, add_to, ways_of
from benchmarks.peer_servers.samples import Figures, Found, Key, NoRatio
from benchmarks.peer_servers.subjects import Subject

Answer = Callable[[str], tuple[int, object] | None]
REFUSAL = "no ratio is printed"


async def asked(answer: Answer, work: Callable[[Subject], Awaitable[object]], family: Callable[[], set[int]] = lambda: {os.getpid()}) -> None:
    """Do some work with the subject of a server that answers each request line so, or ends the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode().lower().split("\r\n")
            length = next((int(line.split(":")[1]) for line in lines if line.startswith("content-length")), 0)
            await reader.readexactly(length)
            found = answer(head.decode().split("\r\n")[0])
            if found is None:
                break
            body = json.dumps(found[1]).encode()
            writer.write(b"HTTP/1.1 %d x\r\ncontent-length: %d\r\n\r\n%s" % (found[0], len(body), body))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        address = server.sockets[0].getsockname()[1], "/v2", "secret"
        await work(Subject("other", "peer-1000-1", 1000, address, family, sends_text=False))
    finally:
        server.close()


async def measure(subject: Subject) -> None:
    subject.ids = dict.fromkeys(subject.numbers, "1")
    await subject.measured(GET, subject.requests(GET, 8), 2, 60)


async def test_what_is_answered_well_is_measured() -> None:
    await asked(lambda _: (200, {}), measure)


async def test_a_wrong_status_ends_the_comparison() -> None:
    with pytest.raises(NoRatio, match=rf"GET /v2/Users/1 .* was answered with 500; {REFUSAL}"):
        await asked(lambda _: (500, {}), measure)


async def test_a_connection_that_ends_ends_the_comparison() -> None:
    with pytest.raises(NoRatio, match=f"was not answered; {REFUSAL}"):
        await asked(lambda _: None, measure)


async def test_a_server_that_only_says_that_it_has_changed_something_ends_the_comparison() -> None:
    user = {"id": "1", "userName": "", "active": True}

    def answer(line: str) -> tuple[int, object]:
        return 200, {"Resources": [user]} if "filter" in line else user

    async def opened(subject: Subject) -> None:
        subject.numbers = subject.numbers[:1]
        user["userName"] = subject._user(subject.numbers[0])["userName"]
        await subject.open()

    with pytest.raises(NoRatio, match=f"{PATCH} did not do what it says; {REFUSAL}"):
        await asked(answer, opened)


async def test_a_process_that_was_replaced_ends_the_comparison() -> None:
    families = iter([{1, 2}, {1, 3}])

    async def look(subject: Subject) -> None:
        subject.processes()

    with pytest.raises(NoRatio, match=f"a process has ended; {REFUSAL}"):
        await asked(lambda _: (200, {}), look, lambda: next(families))


def found(factor: float = 1.0) -> Found:
    """Five rounds in which Rollhouse costs 100 us, its audit row 10, pgbench 20 and the other server 10,000, all but the first by a factor."""
    costs = {OURS: 100.0 * factor, LIMIT: 20.0, MEMORY: 10_000.0}
    measured: Found = {}
    for users in (SMALL, LARGE, HUGE):
        for operation in (GET, FIND, PAGE, POST, PATCH, add_to(10_000)):
            for name, cost in costs.items():
                for connections in ways_of(operation):
                    measured[Key(operation, users, name, connections)] = [Figures(0.0, cost, 1.0, 1.0, 100)] * 5
        measured[Key(AUDIT, users, LIMIT, 8)] = [Figures(0.0, 10.0, 1.0, 1.0, 100)] * 5
    return measured


def by_text(ratio: str, all_ratios: list[Ratio]) -> Ratio:
    (one,) = [each for each in all_ratios if each.text == ratio]
    return one


def test_a_goal_is_met_by_its_worst_size_and_a_write_counts_without_its_audit_row() -> None:
    measured = found()
    measured[Key(GET, HUGE, OURS, 8)] = [Figures(50.0, 70.0, 1.0, 1.0, 100)] * 5
    all_ratios = ratios(measured, [SMALL, LARGE, HUGE])

    beside_limit = by_text("GET by id : Postgres under pgbench", all_ratios)
    assert beside_limit.by_users == {SMALL: 5.0, LARGE: 5.0, HUGE: 6.0}
    assert beside_limit.is_met is False
    assert by_text("POST less the audit row : scim2-server", all_ratios).by_users[LARGE] == 90 / 10_000
    assert by_text("POST : scim2-server", all_ratios).by_users[LARGE] == 100 / 10_000
    assert by_text("GET by id : scim2-server", all_ratios).is_met is True
    assert by_text("GET by id, 1,000,000 users : 1,000", all_ratios).is_met is False


def test_the_rounds_are_compared_one_by_one() -> None:
    measured = found()
    measured[Key(GET, LARGE, OURS, 8)] = [Figures(cost, 100.0, 1.0, 1.0, 100) for cost in (0.0, 10.0, 20.0, 900.0, 900.0)]
    measured[Key(GET, LARGE, MEMORY, 8)] = [Figures(cost, 0.0, 1.0, 1.0, 100) for cost in (1000.0, 1000.0, 1000.0, 9000.0, 9000.0)]

    assert by_text("GET by id : scim2-server", ratios(measured, [LARGE])).by_users == {LARGE: pytest.approx(1000 / 9000)}


def test_what_decides_nothing_or_was_not_measured_has_no_verdict() -> None:
    all_ratios = ratios(found(100.0), [SMALL, LARGE, HUGE])
    assert {one.is_met for one in all_ratios if "one by one" in one.text} == {None}
    assert len([one for one in all_ratios if one.is_met is not None]) == 15
    assert by_text("GET by id : scim2-server", ratios(found(), [SMALL])).is_met is None
