"""Listeners of several processes hear of each other's requests through a real Redis, and lose nothing but a moment without it."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from rollhouse.activity.live import LISTENERS_OF_A_SESSION, LISTENERS_OF_A_TENANT, TELL_SECONDS, Live
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
    async with two(redis_server.url) as (writer, reader), reader.listening(mine, uuid4()) as heard, reader.listening(others, uuid4()) as not_heard:
        await writer.tell([mine])
        await asyncio.wait_for(heard.wait(), 2)
        assert not not_heard.is_set()


async def test_without_redis_a_process_wakes_its_own_listeners_and_listens_again_afterwards(redis_server: RedisServer) -> None:  # noqa: F811
    tenant = uuid4()
    async with two(redis_server.url) as (writer, reader), writer.listening(tenant, uuid4()) as own, reader.listening(tenant, uuid4()) as heard:
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


async def test_a_session_and_a_tenant_have_their_share_of_the_listeners() -> None:
    live, tenant, session = Live(None), uuid4(), uuid4()
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(LISTENERS_OF_A_SESSION):
            assert live.has_room(tenant, session)
            await stack.enter_async_context(live.listening(tenant, session))
        assert not live.has_room(tenant, session)
        for _ in range(LISTENERS_OF_A_TENANT - LISTENERS_OF_A_SESSION):
            await stack.enter_async_context(live.listening(tenant, uuid4()))
        assert not live.has_room(tenant, uuid4())
        assert live.has_room(uuid4(), session)
    assert live.has_room(tenant, session)


async def test_a_silent_redis_holds_up_nobody_who_tells(redis_server: RedisServer) -> None:  # noqa: F811
    tenant = uuid4()
    async with two(redis_server.url) as (writer, _), writer.listening(tenant, uuid4()) as heard:
        redis_server.send(signal.SIGSTOP)
        try:
            async with asyncio.timeout(20 * TELL_SECONDS):
                for _ in range(200):  # one wait, then nobody asks for two seconds
                    await writer.tell([tenant])
            assert heard.is_set()
        finally:
            redis_server.send(signal.SIGCONT)
