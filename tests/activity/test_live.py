"""Listeners of several processes hear of each other's requests through a real Redis, and lose nothing but a moment without it."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from rollhouse.activity.live import Live
from tests.limits.conftest import RedisServer, redis_server  # noqa: F401 - a fixture


@asynccontextmanager
async def two(url: str) -> AsyncIterator[tuple[Live, Live]]:
    made = Live(url), Live(url)
    tasks = [asyncio.create_task(one.listen()) for one in made]
    await asyncio.sleep(0.3)
    yield made
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for one in made:
        assert one._redis is not None
        with contextlib.suppress(Exception):
            await one._redis.aclose()


async def test_what_one_process_writes_wakes_the_listeners_of_another(redis_server: RedisServer) -> None:  # noqa: F811
    mine, others = uuid4(), uuid4()
    async with two(redis_server.url) as (writer, reader), reader.listening(mine) as heard, reader.listening(others) as not_heard:
        await writer.tell([mine])
        await asyncio.wait_for(heard.wait(), 2)
        assert not not_heard.is_set()


async def test_without_redis_a_process_wakes_its_own_listeners_and_listens_again_afterwards(redis_server: RedisServer) -> None:  # noqa: F811
    tenant = uuid4()
    async with two(redis_server.url) as (writer, reader), writer.listening(tenant) as own, reader.listening(tenant) as heard:
        redis_server.send(signal.SIGKILL)
        await writer.tell([tenant])
        await asyncio.wait_for(own.wait(), 2)
        assert not heard.is_set()
        redis_server.start()
        for _ in range(40):
            await writer.tell([tenant])
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(heard.wait(), 0.25)
                break
        assert heard.is_set()
