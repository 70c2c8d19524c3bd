"""The outermost layer: a tidy path, a measure of every request (404, 405 and refusals too), and no exception past it."""

import asyncio
import contextlib
import math
import re
import time
from collections.abc import Awaitable
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, Message, Receive, Scope, Send

from rollhouse.activity.entries import CLIENT_BYTES_LIMIT, Entry
from rollhouse.http.answers import header
from rollhouse.http.lifeline import is_ending
from rollhouse.http.service import Service
from rollhouse.journal.audit import new_request_id
from rollhouse.limits.gcra import Decision
from rollhouse.limits.limit import Limit
from rollhouse.scim.errors import InternalError
from rollhouse.scim.messages import SCIM_JSON, encode_error
from rollhouse.scim.tolerances import Tolerance
from rollhouse.telemetry.logs import log_fault, log_request
from rollhouse.telemetry.metrics import request_seconds, tolerance_count
from rollhouse.telemetry.traces import Request, untraced
from rollhouse.telemetry.traffic import TRAFFIC

_SLASHES = re.compile(r"/{2,}")
_ENDPOINTS = {name.lower(): name for name in ("ServiceProviderConfig", "ResourceTypes", "Schemas", "Bulk", "Me")}
_TOO_LARGE = 413
_REFUSED = 400
_TENANTS = "/t/"
UNMATCHED = "unmatched"
LEFT = 499
"""The status in metrics and logs of a request whose client left before it was answered."""
PROBES = ("/livez", "/readyz", "/startupz")
"""Routes whose good answers are not logged."""
_BODY_METHODS = ("POST", "PUT", "PATCH")
CLOSE = ((b"connection", b"close"),)
"""Said while the process drains: the client's next request goes to one that stays."""
EARLY_BYTES = 16 * 1024
"""A body announced as no longer begins to be read before its request has passed the gates: 16 MB for the server's thousand connections."""
DRAIN_BYTES = 64 * 1024
DRAIN_BYTES_TOO_LARGE = 64 * 1024 * 1024
DRAIN_SECONDS = 5.0
_ENDPOINT_AT = 5
"""Position of the endpoint in the path's parts: "", t, <tenant>, scim, v2, <endpoint>."""


class Edge:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; an answer is always given, also when the application below fails."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        method: str = scope["method"]
        started = time.perf_counter()
        noted: set[Tolerance] = set()
        scope["path"] = tidy_path(scope["path"], noted)
        request_id = new_request_id()
        state: dict[str, Any] = {**scope.get("state", {}), "noted": noted, "service": self._service, "request_id": request_id}
        scope["state"] = state
        tracer = self._service.tracer
        traced = (untraced if tracer is None else tracer.request)(header(scope, b"traceparent"), request_id)
        sent = _Sent(scope, receive) if method in _BODY_METHODS else None
        self._service.active_requests += 1
        status = 0
        answered = b""

        async def send_noting_status(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], (b"x-request-id", state["request_id"].encode()), *(CLOSE if is_ending() else ())]
                if "rate_limit" in state:
                    headers += rate_headers(*state["rate_limit"])
                message["headers"] = headers
                if sent is not None and sent.is_unread and not sent.is_withheld:
                    await _drain(sent, DRAIN_BYTES_TOO_LARGE if status == _TOO_LARGE else DRAIN_BYTES)
            elif status >= _REFUSED or sent is not None:
                answered = message.get("body", b"")  # type: ignore[assignment]
            await send(message)

        try:
            await self._app(scope, sent or receive, send_noting_status)
        except Exception as error:  # noqa: BLE001 - the last line of defence: always a SCIM body, never a broken connection
            log_fault("edge.fault", error, method=method)
            if status == 0:
                await _send_fault(send_noting_status)
        finally:
            self._service.active_requests -= 1
            self._conclude(scope, traced, status, time.perf_counter() - started, answered)
            state.clear()  # scope, state and exchange refer to each other: cut here, none of them waits for the garbage collector

    def _conclude(self, scope: Any, traced: Request, status: int, seconds: float, answered: bytes) -> None:
        """Measure a request that has been answered, log it, and tell the request log of it if its path is a tenant's.

        A client that left before the answer has the status 499.
        """
        state = scope["state"]
        route = scope.get("path_template") or UNMATCHED
        method = scope["method"] if route != UNMATCHED else "any"
        exchange = state.get("exchange")
        tenant = exchange.tenant.slug if exchange is not None else None
        told = status or LEFT
        request_seconds(route, method, told).observe(seconds, {"trace_id": traced.trace_id} if traced.is_traced else None)
        if tenant is not None:
            TRAFFIC.count(tenant, told, state["noted"])
        for tolerance in state["noted"]:
            tolerance_count(tolerance.value).inc()
        error = state.get("error")
        traced.end(method, route, told, seconds, tenant=tenant, error=error)
        if told >= _REFUSED or route not in PROBES:
            log_request(method, route, told, seconds, request_id=state["request_id"], trace_id=traced.trace_id, tenant=tenant, error=error)
        if status and scope["path"].startswith(_TENANTS):
            self._service.request_log.note(_entry(scope, status, seconds, answered))


class _Sent:
    """What a client sends, and whether some of it is unread.

    A small body is asked for at once, since the server begins to read when it is asked and not when it is waited for: mostly the body is there
    when the request has passed the gates, and the loop need not sleep and be woken for it. A large one waits where it is. So does one that its
    client withholds until it is told to go on (RFC 9110 section 10.1.1): to ask for it tells it so.
    """

    __slots__ = ("_first", "_missing", "_receive", "is_unread", "is_withheld")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        announced = header(scope, b"content-length")
        self._missing = int(announced) if announced.isdigit() else math.inf
        self._receive = receive
        self.is_withheld = bool(header(scope, b"expect"))
        is_early = self._missing <= EARLY_BYTES and not self.is_withheld
        self._first: Awaitable[HTTPReceiveMessage] | None = receive() if is_early else None  # type: ignore[assignment]
        self.is_unread = True

    async def __call__(self) -> HTTPReceiveMessage:
        """The next part. What was announced is all there is: the server's word for it would be one more wait, 20 to 30 us of CPU.

        The server lets no length through that is no number, or that stands beside chunks (tests/threats/test_smuggling.py).
        """
        self.is_withheld = False
        first, self._first = self._first, None
        message: Any = await (first or self._receive())
        if message["type"] == "http.request":
            self._missing -= len(message.get("body", b""))
            message["more_body"] = bool(message.get("more_body", False)) and self._missing > 0
        self.is_unread = message.get("more_body", False)
        return message  # type: ignore[no-any-return]


def tidy_path(path: str, noted: set[Tolerance]) -> str:
    """The path without double or trailing slashes, discovery endpoints in their own letter case (L28); never a redirect (L35)."""
    tidy = path
    if "//" in tidy:
        tidy = _SLASHES.sub("/", tidy)
    if tidy.endswith("/") and len(tidy) > 1:
        tidy = tidy[:-1]
    parts = tidy.split("/")
    if len(parts) > _ENDPOINT_AT and parts[1] == "t":
        parts[_ENDPOINT_AT] = _ENDPOINTS.get(parts[_ENDPOINT_AT].lower(), parts[_ENDPOINT_AT])
        tidy = "/".join(parts)
    if tidy != path:
        noted.add(Tolerance.LOOSE_PATH)
    return tidy


def rate_headers(limit: Limit, decision: Decision) -> list[tuple[bytes, bytes]]:
    """RateLimit-Policy and RateLimit: what the tenant may spend, what is left of it, and when all of it is there again."""
    left = f'"tenant";r={decision.remaining};t={decision.reset_seconds}'
    return [(b"ratelimit-policy", limit.policy.encode()), (b"ratelimit", left.encode())]


def _entry(scope: Any, status: int, seconds: float, answered: bytes) -> Entry:
    """What the request log is told of a request to a path of a tenant."""
    state = scope["state"]
    _, _, slug, *rest = scope["path"].split("/", 3)
    exchange = state.get("exchange")
    wrong = state.get("wrong_secret")
    entry = Entry(
        slug=slug,
        request_id=state["request_id"],
        method=scope["method"],
        path="/" + rest[0] if rest else "/",
        query=scope["query_string"],
        status=status,
        began=time.monotonic() - seconds,
        seconds=seconds,
        user_agent=header(scope, b"user-agent")[:CLIENT_BYTES_LIMIT],
        answer_body=answered,
    )
    if exchange is not None:
        entry.credential_id = str(exchange.credential_id)
        entry.request_body = exchange.read_body
        entry.looked_for = exchange.looked_for
        entry.registry = exchange.registry
        if state["noted"]:
            entry.tolerances = tuple(one.value for one in state["noted"])
    elif wrong is not None:
        entry.reason = wrong.why
        entry.credential_id = str(wrong.credential_id) if wrong.credential_id is not None else None
    return entry


async def _drain(sent: _Sent, limit_bytes: int) -> None:
    """Read the rest of a refused body, within bounds: a client that writes all before it reads would see a reset instead of the refusal."""
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while sent.is_unread and size < limit_bytes:
                size += len((await sent()).get("body", b""))  # type: ignore[arg-type]


async def _send_fault(send: Send) -> None:
    body = encode_error(InternalError("The service met a fault of its own; it has been logged."))
    headers = [
        (b"content-type", SCIM_JSON.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
