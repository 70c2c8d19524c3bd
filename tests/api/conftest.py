"""Operators' keys for the running service, and a client that sends them."""

import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest

from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.tenancy import operators
from rollhouse.tenancy.operators import SCOPES
from rollhouse.tenancy.secrets import Peppers
from tests.conftest import PEPPER
from tests.servers.service import Serving

_numbers = itertools.count(1)


class ApiClient:
    """A client of the admin API with one operator's key; paths are relative to /api/v1."""

    def __init__(self, url: str, key: str, key_id: str) -> None:
        self.key = key
        self.key_id = key_id
        self.http = httpx.AsyncClient(base_url=url + "/api/v1", timeout=60, headers={"authorization": f"Bearer {key}"})

    async def request(self, method: str, path: str, **keywords: Any) -> httpx.Response:
        return await self.http.request(method, path, **keywords)

    async def get(self, path: str, **keywords: Any) -> httpx.Response:
        return await self.http.get(path, **keywords)

    async def post(self, path: str, body: Any = None, **keywords: Any) -> httpx.Response:
        return await self.http.post(path, json=body, **keywords) if body is not None else await self.http.post(path, **keywords)

    async def create_tenant(self) -> dict[str, Any]:
        """A tenant as the API answers with it."""
        response = await self.post("/tenants", {"slug": fresh_slug(), "name": "Made by the API"})
        assert response.status_code == 201, response.text
        return response.json()

    async def close(self) -> None:
        await self.http.aclose()


def fresh_slug(prefix: str = "api") -> str:
    return f"{prefix}-{next(_numbers):04d}"


async def new_operator(service: Serving, database: Database, scopes: Sequence[str]) -> ApiClient:
    made = await operators.create_key(database, Peppers.parse(PEPPER), scopes=scopes, label="test", cause=UNATTENDED)
    return ApiClient(service.url, made.minted.secret, str(made.key.id))


@pytest.fixture
async def operator(service: Serving, service_database: Database) -> AsyncIterator[ApiClient]:
    """A client with every scope."""
    client = await new_operator(service, service_database, list(SCOPES))
    yield client
    await client.close()


@pytest.fixture
async def other_operator(service: Serving, service_database: Database) -> AsyncIterator[ApiClient]:
    """A second one, with a key of its own."""
    client = await new_operator(service, service_database, list(SCOPES))
    yield client
    await client.close()


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem details of a refusal (RFC 9457), checked for their form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    found = response.json()
    assert set(found) == {"type", "title", "status", "detail", "instance"}
    assert found["status"] == status
    assert found["type"].startswith("/api/v1/docs#")
    assert found["detail"]
    return found
