"""Fixtures: a stand-in SCIM server on the loopback interface, and runs against it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from rollhouse.simulator import Report, ScenarioRequest, run_scenario

from .stand_in import SECRET, StandIn

Play = Callable[..., Awaitable[Report]]


@pytest.fixture
def stand_in() -> StandIn:
    """An empty server; a test may spoil it before it plays."""
    return StandIn()


@pytest.fixture
async def play(stand_in: StandIn) -> AsyncIterator[Play]:
    """Run a scenario against the stand-in, uncapped; keyword arguments go into the request."""
    async with TestServer(stand_in.application()) as server:

        async def run(scenario: str = "smoke", **changes: Any) -> Report:
            url = str(server.make_url("/t/acme/scim/v2")) + changes.pop("url_end", "")
            settings = {
                "url": url,
                "secret": SECRET,
                "rate_per_second": 0.0,
                "members": 40,
                "run_tag": "test",
            } | changes
            return await run_scenario(ScenarioRequest(scenario=scenario, **settings))

        yield run
