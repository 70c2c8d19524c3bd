"""What changes by itself: parts of pages that are sent again whenever the tenant's log has grown (server-sent events)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from litestar.response import Stream

from rollhouse.portal.parts import Portal
from rollhouse.scim.errors import Unavailable
from rollhouse.tenancy.sessions import Session, is_live
from rollhouse.tenancy.tenants import Tenant

LOOK_SECONDS = 1.0
"""A listener looks that often by itself: another process may have written without a Redis to tell."""
LIFE_SECONDS = 15 * 60
"""After which the browser connects again: a session that has ended must not go on listening."""
QUIET_SECONDS = 0.15
"""Pause before a part is drawn again, so that a burst of requests draws it once."""

Draw = Callable[[], Awaitable[str]]
"""The part as HTML."""


def stream(portal: Portal, tenant: Tenant, session: Session, draw: Draw) -> Stream:
    """The part now, and again whenever it has changed; ends after 15 minutes, and within a second when the session does.

    Raises:
        Unavailable: too many pages listen to this process, of all, of the tenant, or of the session.
    """
    if not portal.live.has_room(tenant.id, session.id):
        raise Unavailable("Too many pages are open at once; close some, then reload this one.", retry_after_seconds=60)

    async def events() -> AsyncIterator[bytes]:
        shown: str | None = None
        loop = asyncio.get_running_loop()
        ends = loop.time() + LIFE_SECONDS
        if not portal.live.has_room(tenant.id, session.id):  # others began between the answer's head and its body
            return
        async with portal.live.listening(tenant.id, session.id) as grown:
            while loop.time() < ends and not portal.live.is_ending():
                grown.clear()
                if not await is_live(portal.database, session.id):
                    return
                part = await draw()
                if part != shown:
                    shown = part
                    yield b"".join(b"data: " + line + b"\n" for line in part.encode().splitlines()) + b"\n"
                else:
                    yield b": still here\n\n"
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(grown.wait(), LOOK_SECONDS)
                    await asyncio.sleep(QUIET_SECONDS)

    return Stream(events(), media_type="text/event-stream", headers={"cache-control": "no-store", "x-accel-buffering": "no"})
