"""Whose turn it is: shares, lines and refusals, without a database."""

import asyncio
import time
from uuid import UUID

import pytest

from rollhouse.database.turns import Turns
from rollhouse.scim.errors import Unavailable

A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)


def new(permits: int = 4, share: int = 2, line: int = 6, wait: float = 5.0) -> Turns:
    return Turns(permits=permits, share=share, line=line, wait_seconds=wait)


async def waiting(turns: Turns, key: UUID | None) -> asyncio.Task[None]:
    task = asyncio.create_task(turns.wait(key))
    await asyncio.sleep(0)
    return task


async def test_one_tenant_gets_its_share_and_no_more() -> None:
    turns = new()

    assert [turns.take(A) for _ in range(3)] == [True, True, False]
    assert turns.take(B)
    assert turns.take(None), "the service itself has no share"
    assert not turns.take(B), "every place is taken"


async def test_a_place_goes_to_the_tenants_in_turn() -> None:
    turns = new(permits=2, share=1)
    assert turns.take(A)
    assert turns.take(B)
    order: list[str] = []

    async def visit(key: UUID, name: str) -> None:
        await turns.wait(key)
        order.append(name)
        await asyncio.sleep(0)
        turns.leave(key)

    visits = [asyncio.create_task(visit(key, name)) for key, name in ((A, "a1"), (A, "a2"), (A, "a3"), (B, "b1"), (C, "c1"))]
    await asyncio.sleep(0)
    turns.leave(B)
    turns.leave(A)
    await asyncio.gather(*visits)

    assert set(order[:3]) == {"a1", "b1", "c1"}
    assert turns.waiting == 0


async def test_a_full_line_refuses_at_once_and_the_tenant_that_filled_it() -> None:
    turns = new(permits=2, share=1, line=4)
    assert turns.take(A)
    assert turns.take(B)
    flood = [await waiting(turns, A) for _ in range(4)]

    with pytest.raises(Unavailable) as refusal:
        await turns.wait(A)
    assert refusal.value.retry_after_seconds

    neighbour = await waiting(turns, C)
    await asyncio.sleep(0)
    assert flood[-1].done(), "the newest of the longest line made room"
    assert isinstance(flood[-1].exception(), Unavailable)
    assert turns.waiting == 4
    turns.leave(B)
    await neighbour
    assert turns.refused == 2
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    assert turns.waiting == 0


async def test_who_waits_too_long_is_refused_and_leaves_no_trace() -> None:
    turns = new(permits=1, share=1, wait=0.01)
    assert turns.take(A)

    with pytest.raises(Unavailable):
        await turns.wait(B)

    assert turns.waiting == 0
    turns.leave(A)
    assert turns.take(B)


async def test_all_who_wait_have_one_timer_and_each_waits_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, set_for = asyncio.get_running_loop(), list[float]()
    later = loop.call_later
    turns = new(permits=1, share=1, line=100, wait=0.2)
    assert turns.take(A)
    monkeypatch.setattr(loop, "call_later", lambda seconds, *rest: set_for.append(seconds) or later(seconds, *rest))
    began, waited = time.monotonic(), list[float]()

    async def visit() -> None:
        with pytest.raises(Unavailable):
            await turns.wait(B)
        waited.append(time.monotonic() - began)

    first = [asyncio.create_task(visit()) for _ in range(20)]
    await asyncio.sleep(0.1)
    second = [asyncio.create_task(visit()) for _ in range(20)]
    await asyncio.gather(*first, *second)

    assert len([seconds for seconds in set_for if 0.05 < seconds <= 0.2]) <= 3
    assert all(seconds >= 0.19 for seconds in waited[:20])
    assert all(seconds >= 0.29 for seconds in waited[20:])
    assert turns.refused == 40
    assert turns.waiting == 0
    turns.leave(A)
    assert turns.take(B)


async def test_a_place_given_to_a_request_cancelled_at_that_moment_is_not_lost() -> None:
    turns = new(permits=1, share=1)
    assert turns.take(A)
    first, second = await waiting(turns, B), await waiting(turns, B)

    turns.leave(A)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await asyncio.wait_for(second, 1)
    turns.leave(B)

    third = await waiting(turns, A) if not turns.take(A) else None
    assert third is None, "the place is free again"


async def test_a_cancelled_request_in_line_is_passed_over() -> None:
    turns = new(permits=1, share=1)
    assert turns.take(A)
    first, second = await waiting(turns, B), await waiting(turns, B)

    first.cancel()
    turns.leave(A)
    await asyncio.wait_for(second, 1)

    assert turns.waiting == 0
    assert first.cancelled() or first.done()


async def test_random_visitors_never_exceed_the_bounds() -> None:
    import random

    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    turns = new(permits=3, share=2, line=8, wait=0.02)
    inside: dict[UUID, int] = {}

    async def visit(key: UUID) -> None:
        try:
            async with turns.turn(key):
                inside[key] = inside.get(key, 0) + 1
                assert inside[key] <= 2
                assert sum(inside.values()) <= 3
                try:
                    await asyncio.sleep(chance.random() * 0.003)
                finally:
                    inside[key] -= 1
        except Unavailable:
            pass

    async def one(key: UUID) -> None:
        task = asyncio.create_task(visit(key))
        await asyncio.sleep(chance.random() * 0.01)
        if chance.random() < 0.4:
            task.cancel()
        await asyncio.gather(task, return_exceptions=False) if not task.cancelled() else None

    await asyncio.gather(*(one(chance.choice((A, B, C))) for _ in range(600)), return_exceptions=True)
    await asyncio.sleep(0.05)
    assert turns.waiting == 0
    assert all(turns.take(key) for key in (A, B, C)), "every place came back"


async def test_a_full_line_whose_longest_part_gives_up_this_very_moment_takes_the_newcomer() -> None:
    """A cancelled request stands in line until its task has run: it must not be refused as well."""
    turns = new(permits=1, share=1, line=2)
    assert turns.take(A)
    quitters = [await waiting(turns, A) for _ in range(2)]
    newcomer = asyncio.create_task(turns.wait(B))

    for task in quitters:
        task.cancel()
    await asyncio.gather(*quitters, return_exceptions=True)
    turns.leave(A)
    await asyncio.wait_for(newcomer, 1)

    assert all(task.cancelled() for task in quitters)
    assert turns.waiting == 0


async def test_a_refusal_at_a_full_line_needs_no_timer() -> None:
    turns = new(permits=1, share=1, line=1)
    assert turns.take(A)
    first = await waiting(turns, A)

    refused = turns.wait(A)
    with pytest.raises(Unavailable):
        refused.send(None)

    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
