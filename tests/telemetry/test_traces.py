"""Traces at a real receiver: one connected tree for a request, failures told after the fact, nothing of a person, and no receiver needed."""

import asyncio
import random
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.telemetry.traces import QUEUE_SPANS, Request, Tracer, span
from rollhouse.tenancy import tenants
from tests.audit.chains import as_superuser
from tests.conftest import PEPPER, Cluster, new_client
from tests.limits.conftest import RedisServer, redis_server  # noqa: F401 - a fixture
from tests.servers.otlp import Receiver
from tests.servers.service import ScimClient, Serving
from tests.telemetry.test_metrics import scraped, value

INTERNAL, SERVER, CLIENT = 1, 2, 3
ERROR = 2
TRACE = "4bf92f3577b34da6a3ce929d0e0e47{:02x}"


class Traced:
    def __init__(self, serving: Serving, receiver: Receiver, client: ScimClient, cluster: Cluster) -> None:
        self.serving, self.receiver, self.client, self.cluster = serving, receiver, client, cluster

    async def spans(self, number: int, count: int) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self.receiver.wait_for, TRACE.format(number), count)


def asked(number: int, *, flag: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{TRACE.format(number)}-00f067aa0ba902b7-{flag}"}


@pytest.fixture
async def traced(
    embedded_cluster: Cluster,
    redis_server: RedisServer,  # noqa: F811
    service_database: Database,
    folder: Path,
    tmp_path: Path,
) -> AsyncIterator[Traced]:
    receiver = Receiver(tmp_path)
    settings = {
        "ROLLHOUSE_DATABASE_URL": embedded_cluster.app_url,
        "ROLLHOUSE_PEPPERS": PEPPER,
        "ROLLHOUSE_REDIS_URL": redis_server.url,
        "ROLLHOUSE_OTLP_ENDPOINT": receiver.endpoint,
        "ROLLHOUSE_TRACE_ONE_IN": "0",
    }
    serving = Serving(tmp_path / "service.log", settings)
    serving.start()
    client = await new_client(serving, service_database)
    await tenants.set_limit(service_database, client.base_url.split("/")[4], 1000, 1000, cause=UNATTENDED)
    yield Traced(serving, receiver, client, embedded_cluster)
    await client.close()
    assert serving.stop() == 0
    receiver.stop()


def tree(spans: list[dict[str, Any]]) -> dict[str, list[str]]:
    names = {one["id"]: one["name"] for one in spans}
    found: dict[str, list[str]] = {}
    for one in sorted(spans, key=lambda one: one["start"]):
        found.setdefault(names.get(one["parent"], "(the caller)"), []).append(one["name"])
    return found


async def test_a_request_is_one_connected_tree(traced: Traced) -> None:
    answer = await traced.client.get("/Users/01a21902-c8c0-7300-8313-8b0000000000", headers=asked(1))
    assert answer.status_code == 404
    spans = await traced.spans(1, 7)
    route = "GET /t/{tenant}/scim/v2/{endpoint}/{resource_id}"
    assert tree(spans) == {
        "(the caller)": [route],
        route: ["tenant gate", "rate gate", "handler"],
        "tenant gate": ["resolve_access"],
        "rate gate": ["EVALSHA"],
        "handler": ["get_resources"],
    }
    kinds = {one["name"]: one["kind"] for one in spans}
    assert kinds[route] == SERVER
    assert {kinds[name] for name in ("resolve_access", "EVALSHA", "get_resources")} == {CLIENT}
    (root,) = [one for one in spans if one["name"] == route]
    assert root["parent"] == "00f067aa0ba902b7"
    assert root["attributes"] == {
        "http.request.method": "GET",
        "http.route": "/t/{tenant}/scim/v2/{endpoint}/{resource_id}",
        "http.response.status_code": 404,
        "rollhouse.tenant": traced.client.base_url.split("/")[4],
    }
    assert root["resource"]["service.name"] == "rollhouse"
    assert all(root["start"] <= one["start"] <= one["end"] <= root["end"] for one in spans)


async def test_requests_whose_statement_is_one_have_it_each_in_a_tree_of_its_own(traced: Traced) -> None:
    def statements() -> float:
        return value(scraped(traced.serving), "db_client_operation_duration_seconds_count", db_operation_name="get_resources")

    user = await traced.client.create_user(userName="sought")
    before = statements()
    found = await traced.client.get_at_once(f"/Users/{user['id']}", [asked(number) for number in range(20, 36)])
    assert [one["id"] for one in found] == [user["id"]] * 16
    assert statements() - before < 16, "each has had a statement of its own"
    for number in range(20, 36):
        spans = await traced.spans(number, 5)
        assert tree(spans)["handler"] == ["get_resources"]


async def test_nothing_of_a_person_and_no_secret_is_in_a_trace(traced: Traced) -> None:
    client = traced.client
    user = await client.create_user(userName="secretive@acme.example", displayName="Ann Secretive", password="t0p-secret-t0p")
    await client.patch(
        f"/Users/{user['id']}",
        {"Operations": [{"op": "replace", "path": "title", "value": "Secretive Director"}]},
        headers=asked(2),
    )
    await client.get('/Users?filter=userName eq "secretive@acme.example"&attributes=displayName', headers=asked(3))
    await client.post("/Users", {"userName": "SECRETIVE@acme.example"}, headers=asked(4))
    spans = await traced.spans(2, 6) + await traced.spans(3, 4) + await traced.spans(4, 4)
    text = repr(spans).lower()
    for told in ("secretive", "ann", "t0p-secret", client.secret.lower(), client.secret[10:20].lower(), user["id"], "bearer", "filter"):
        assert told not in text.replace("tenant", ""), told


async def test_a_failure_that_was_not_traced_is_told_after_the_fact(traced: Traced) -> None:
    (body,) = await as_superuser(traced.cluster, "SELECT pg_get_functiondef('rollhouse.get_resources(uuid,text,text,text,uuid[])'::regprocedure)")
    broken = "CREATE OR REPLACE FUNCTION rollhouse.get_resources(p_tenant uuid, p_type text, p_relation text, p_base_url text, p_ids uuid[])"
    returns = body[0].partition("RETURNS ")[2].partition("\n")[0]
    await as_superuser(traced.cluster, f"{broken} RETURNS {returns} LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken' USING ERRCODE = 'XX001'; END $$")
    try:
        before = time.time_ns()
        answer = await traced.client.get("/Users/01a21902-c8c0-7300-8313-8b0000000000", headers=asked(5, flag="00"))
        after = time.time_ns()
    finally:
        await as_superuser(traced.cluster, body[0])
    assert answer.status_code == 500
    (span,) = await traced.spans(5, 1)
    assert span["name"] == "GET /t/{tenant}/scim/v2/{endpoint}/{resource_id}"
    assert (span["kind"], span["status"], span["parent"]) == (SERVER, ERROR, "00f067aa0ba902b7")
    assert span["attributes"]["error.type"] == "XX001"
    assert before <= span["start"] <= after
    assert 0 < span["end"] - span["start"] <= time.time_ns() - before


async def test_nobody_makes_us_trace_everything(traced: Traced) -> None:
    for _ in range(3):
        await asyncio.gather(*(traced.client.get("/ServiceProviderConfig", headers=asked(6)) for _ in range(60)))
    await asyncio.sleep(2.5)
    found = [one for one in traced.receiver.spans if one["trace"] == TRACE.format(6) and one["kind"] == SERVER]
    assert 1 <= len(found) <= 80, "twenty a second, whatever callers ask for"
    assert (await traced.client.get("/ServiceProviderConfig", headers={"traceparent": "00-" + "0" * 32 + "-00f067aa0ba902b7-01"})).status_code == 200
    assert (await traced.client.get("/ServiceProviderConfig", headers={"traceparent": "nonsense"})).status_code == 200


async def test_what_waits_at_the_end_is_sent(traced: Traced) -> None:
    """Spans are sent once a second: of the last ones the end itself has to take care."""
    assert (await traced.client.get("/ServiceProviderConfig", headers=asked(30))).status_code == 200
    assert traced.serving.stop() == 0

    assert len(await traced.spans(30, 4)) >= 4
    traced.serving.start()


async def test_a_receiver_that_is_silent_costs_no_request_anything(traced: Traced) -> None:
    traced.receiver.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        for number in range(40):
            assert (await traced.client.get("/Users?count=1", headers=asked(10 + number % 10))).status_code == 200
        assert time.monotonic() - began < 20
        began = time.monotonic()
        assert traced.serving.stop() == 0, "it ends in time, spans or not"
        assert time.monotonic() - began < 8
    finally:
        traced.receiver.process.send_signal(signal.SIGCONT)
    traced.serving.start()


class _Refusing:
    """A tracer of the SDK that nobody is to ask."""

    def start_span(self, *_: object, **__: object) -> None:
        raise AssertionError("the SDK was asked for a span")


def end(request: Request, status: int = 200) -> None:
    request.end("GET", "/x", status, 0.001, tenant=None, error=None)


def test_what_is_not_traced_asks_the_sdk_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tracer = Tracer("http://127.0.0.1:9", 0)
    monkeypatch.setattr(tracer, "tracer", _Refusing())
    for caller in (b"", b"00-%032x-%016x-00" % (1, 2), b"00-nonsense"):
        request = tracer.request(caller, "0123456789abcdef")
        with span("tenant gate"), span("SELECT", "client", {"db.system.name": "postgresql"}):
            pass
        end(request, 404)
        assert not request.is_traced

    with pytest.raises(AssertionError, match="asked for a span"):
        tracer.request(b"00-%032x-%016x-01" % (1, 2), "0123456789abcdef")
    tracer.close()


def test_one_in_so_many_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollhouse.telemetry.traces.random", random.Random(5))
    tracer = Tracer("http://127.0.0.1:9", 10)
    traced = 0
    for number in range(5000):
        request = tracer.request(b"", f"{number:016x}")
        traced += request.is_traced
        end(request)
    tracer.close()

    assert traced == pytest.approx(500, rel=0.15)


def test_a_silent_receiver_is_waited_for_by_no_request_however_many_spans_wait() -> None:
    """Three times what the queue holds: whoever waited for one batch of them would wait for two seconds."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        tracer = Tracer(f"http://127.0.0.1:{silent.getsockname()[1]}", 1)
        began = time.monotonic()
        for number in range(3 * QUEUE_SPANS):
            end(tracer.request(b"", f"{number:016x}"))
        assert time.monotonic() - began < 20
        tracer.close()
