"""The tenant's client, each answer of which is checked; a user as Entra creates one; the counters of tolerances."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.clients.recordings import check_answer, recorded
from tests.servers.service import ScimClient, Serving


@pytest.fixture
async def acme(acme: ScimClient) -> ScimClient:
    """The client of a fresh tenant; every answer it gets must look as section 6 of the client catalogue demands."""
    acme.http.event_hooks = {"request": [], "response": [check_answer]}
    return acme


@pytest.fixture
async def globex(globex: ScimClient) -> ScimClient:
    """The same for a second tenant."""
    globex.http.event_hooks = {"request": [], "response": [check_answer]}
    return globex


@pytest.fixture
async def sunniva(acme: ScimClient) -> dict[str, Any]:
    """A user as Entra's default mapping creates one, read back."""
    response = await acme.post("/Users", recorded("entra/create_user.json"))
    assert response.status_code == 201, response.text
    return await acme.get_user(response.json()["id"])


@pytest.fixture
async def torkel(acme: ScimClient) -> dict[str, Any]:
    """A second user, with nothing but a name."""
    return await acme.create_user(userName="torkel.lien@fjordline.example")


@pytest.fixture
def counted(service: Serving) -> Callable[[str], float]:
    """How many requests needed a tolerance so far, by the label of its counter."""

    def count(tolerance: str) -> float:
        shown = httpx.get(service.metrics_url).text
        found = re.search(rf'^rollhouse_tolerances_total{{tolerance="{tolerance}"}} (\S+)$', shown, re.MULTILINE)
        return float(found[1]) if found else 0.0

    return count
