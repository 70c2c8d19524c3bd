"""When a body has arrived, and what its deadline does when it does not: by the parts that the server hands over."""

import asyncio
import time
from typing import Any

import pytest

from rollhouse.activity.entries import CLIENT_BYTES_LIMIT
from rollhouse.http.deadlines import Deadlines
from rollhouse.http.edge import EARLY_BYTES, _entry, _Sent
from rollhouse.scim.errors import PayloadTooLarge, RequestTimeout

Message = dict[str, Any]


def part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def read(length: bytes | None, *messages: Message) -> tuple[list[Message], _Sent]:
    """What a reader gets until nothing more is to come."""
    waiting = iter(messages)

    async def receive() -> Any:
        return next(waiting)

    headers = [(b"content-length", length)] if length is not None else []
    sent = _Sent({"headers": headers}, receive)  # type: ignore[typeddict-item, arg-type]
    found: list[Message] = []
    while sent.is_unread:
        found.append(await sent())  # type: ignore[arg-type]
    return found, sent


LENGTH = b"content-length"


@pytest.mark.parametrize(
    ("headers", "is_early"),
    [
        ([(LENGTH, b"6")], True),
        ([(LENGTH, b"%d" % EARLY_BYTES)], True),
        ([(LENGTH, b"%d" % (EARLY_BYTES + 1))], False),
        ([(LENGTH, b"6"), (b"expect", b"100-continue")], False),
        ([(b"transfer-encoding", b"chunked")], False),
    ],
)
def test_a_small_body_is_asked_for_at_once(headers: list[tuple[bytes, bytes]], is_early: bool) -> None:
    asked: list[str] = []

    def receive() -> Any:
        asked.append("a part")

    _Sent({"headers": headers}, receive)  # type: ignore[typeddict-item, arg-type]

    assert asked == ["a part"] * is_early


async def test_a_body_of_its_length_is_whole_without_another_wait() -> None:
    found, _ = await read(b"6", part(b"abc", more=True), part(b"def", more=True))

    assert found == [part(b"abc", more=True), part(b"def", more=False)]


@pytest.mark.parametrize("length", [None, b"", b"six", b"-1"])
async def test_without_a_length_the_server_says_when_it_is_whole(length: bytes | None) -> None:
    found, _ = await read(length, part(b"abc", more=True), part(b"", more=False))

    assert found == [part(b"abc", more=True), part(b"", more=False)]


async def test_a_body_that_ends_early_is_read_no_further() -> None:
    found, _ = await read(b"600", part(b"abc", more=False))

    assert found == [part(b"abc", more=False)]


async def test_a_client_that_has_left_is_told_of_as_it_is() -> None:
    found, sent = await read(b"6", part(b"abc", more=True), {"type": "http.disconnect"})

    assert found[1] == {"type": "http.disconnect"}
    assert not sent.is_unread


async def test_a_body_that_cannot_be_read_gives_the_time_back() -> None:
    """What is refused after a slow body has the block's own time left, and its own refusal."""
    deadlines = Deadlines()

    async def reading() -> bytes:
        raise PayloadTooLarge("too large")

    async def serving() -> None:
        with deadlines.after(8) as deadline:
            before = deadline.at
            try:
                await deadline.body(reading(), 0.0)
            finally:
                assert deadline.at >= before
                deadline.check(time.monotonic() + 1)
                await asyncio.sleep(0)

    with pytest.raises(PayloadTooLarge):
        await serving()


async def test_a_body_that_does_not_arrive_ends_the_block() -> None:
    deadlines = Deadlines()

    async def reading() -> bytes:
        deadline.check(time.monotonic() + 11)
        await asyncio.sleep(5)
        return b""

    with pytest.raises(RequestTimeout, match="within 10 seconds"), deadlines.after(8) as deadline:
        await deadline.body(reading(), 10)


def test_an_entry_carries_the_beginning_of_a_long_user_agent() -> None:
    """What strangers send is held in the queue, and by what remembers clients."""
    scope = {
        "method": "GET",
        "path": "/t/acme/scim/v2/Users",
        "query_string": b"",
        "headers": [(b"user-agent", b"x" * 400_000)],
        "state": {"request_id": "1", "noted": set()},
    }

    assert len(_entry(scope, 401, 0.1, b"").user_agent) == CLIENT_BYTES_LIMIT
