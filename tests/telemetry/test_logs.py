"""Lines on stderr: one for each request, as JSON or in words, and none for a probe that is answered well."""

import asyncio
import json
from typing import Any

import pytest

from rollhouse.database.pool import Database
from tests.conftest import PEPPER, Cluster, new_client
from tests.servers.service import ScimClient, Serving


async def lines_of(serving: Serving, request_id: str) -> list[dict[str, Any]]:
    await asyncio.sleep(0.3)
    return [line for line in map(json.loads, serving.log.read_text().splitlines()) if line.get("request_id") == request_id]


async def test_each_request_leaves_one_line_of_json(acme: ScimClient, service: Serving) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await acme.get('/Users?filter=userName eq "secretive@acme.example"', headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-00"})
    (line,) = await lines_of(service, answer.headers["x-request-id"])
    assert line.pop("milliseconds") > 0
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "event": "request",
        "method": "GET",
        "route": "/t/{tenant}/scim/v2/{endpoint}",
        "status": 200,
        "request_id": answer.headers["x-request-id"],
        "trace_id": trace,
        "tenant": acme.base_url.split("/")[4],
    }
    assert "secretive" not in service.log.read_text()
    stranger = await acme.get("/Users", headers={"authorization": "Bearer nobody"})
    (line,) = await lines_of(service, stranger.headers["x-request-id"])
    assert line["status"] == 401
    assert "tenant" not in line, "a path that anybody can write is nobody's name"
    assert int(line["trace_id"], 16) == int(line["request_id"], 16), "without a caller's trace it is made of the request's id"


async def test_probes_leave_no_line_and_unknown_paths_do(acme: ScimClient, service: Serving) -> None:
    probe = await acme.http.get(f"{service.url}/livez")
    assert await lines_of(service, probe.headers["x-request-id"]) == []
    unknown = await acme.http.get(f"{service.url}/nowhere")
    (line,) = await lines_of(service, unknown.headers["x-request-id"])
    assert (line["route"], line["method"], line["status"]) == ("unmatched", "any", 404)


@pytest.fixture
def told(embedded_cluster: Cluster, tmp_path: Any) -> Any:
    settings = {"ROLLHOUSE_DATABASE_URL": embedded_cluster.app_url, "ROLLHOUSE_PEPPERS": PEPPER, "ROLLHOUSE_LOG_FORMAT": "console"}
    serving = Serving(tmp_path / "service.log", settings)
    serving.start()
    yield serving
    serving.stop()


async def test_people_read_words(told: Serving, service_database: Database) -> None:
    client = await new_client(told, service_database)
    answer = await client.get("/Users")
    await asyncio.sleep(0.3)
    await client.close()
    text = told.log.read_text()
    assert "service.ready" in text
    (line,) = [line for line in text.splitlines() if answer.headers["x-request-id"] in line]
    assert f" 200 GET /t/{{tenant}}/scim/v2/{{endpoint}} {client.base_url.split('/')[4]} " in line
    assert '{"' not in text
