"""The way into and out of an operation of the admin API: the key's gate before it, and one answer for equal requests behind it."""

from typing import Any

import msgspec
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from rollhouse.database.outcomes import is_without_effect
from rollhouse.http.answers import Answer
from rollhouse.http.api_calls import Call, Outcome
from rollhouse.http.api_operations import Operation
from rollhouse.http.problems import ALWAYS, PROBLEM_JSON, problem_of
from rollhouse.http.service import Service
from rollhouse.http.sources import source_of
from rollhouse.limits.limit import Limit
from rollhouse.scim.errors import ScimError, TooManyRequests, Unauthorized
from rollhouse.telemetry.logs import log_fault
from rollhouse.tenancy import idempotency, operators
from rollhouse.tenancy.idempotency import Claim, Stored
from rollhouse.tenancy.operators import Operator
from rollhouse.tenancy.secrets import bearer_secret, lookup_id_of

DEADLINE_SECONDS = 8.0
LIMIT_OF_A_KEY = Limit(rate_per_second=100, burst=1000)
"""What one operator's key may send; the tenants' limits are for SCIM alone."""
_FAULT = 500
_NOT_KEPT = (408, 429)
"""Refusals that say nothing of the request itself."""


class Doors(ASGIMiddleware):
    """Lets a request in whose operator's key has the scope that the operation needs, for as long as an answer may take."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Find out who sends the request and go on.

        Raises:
            Unauthorized, Forbidden, Unavailable: as `operators.verify_key` and `Operator.require`.
            TooManyRequests: the key sends too much, or the source has failed too often.
        """
        state: dict[str, Any] = scope["state"]
        operation: Operation | None = scope["route_handler"].opt.get("operation")
        service: Service = state["service"]
        state["operator"] = None
        if operation is None or operation.scope is None:
            await next_app(scope, receive, send)
            return
        service.require_verified()
        with service.deadlines.after(DEADLINE_SECONDS) as deadline:
            operator = await _verified(service, scope)
            decision = await service.limiter.admit(f"operator-key:{operator.key_id}", LIMIT_OF_A_KEY)
            if not decision.allowed:
                raise TooManyRequests("This key sends too many requests. Wait, then send the same one again.", retry_after_seconds=decision.retry_after_seconds)
            operator.require(operation.scope)
            state["operator"], state["deadline"] = operator, deadline
            await next_app(scope, receive, send)


async def _verified(service: Service, scope: Scope) -> Operator:
    headers = [value for name, value in scope["headers"] if name == b"authorization"]
    key, _ = bearer_secret(headers[0].decode("latin-1")) if len(headers) == 1 else ("", False)
    try:
        return await operators.verify_key(service.database, service.peppers, key)
    except Unauthorized:
        await service.failures.note(lookup_id_of(key), source_of(scope, service.trusted_proxies))
        raise


async def carry_out(operation: Operation, call: Call) -> Answer:
    """The answer to a call; that of the first one if it repeats one with the same Idempotency-Key.

    Raises:
        ScimError: what the operation refuses, and what `idempotency.claim` does.
    """
    if operation.body is not None:
        await call.read_body()
    key = call.idempotency_key if operation.takes_idempotency_key else None
    if key is None:
        return _answer(operation, await operation.act(call))
    claimed = await idempotency.claim(call.database, call.operator.key_id, idempotency.check_key(key), call.request_hash)
    if isinstance(claimed, Stored):
        return _raw(claimed.status, [*claimed.headers, ("idempotent-replayed", "true")], claimed.body.encode())
    return await _carry_out_first(operation, call, claimed)


async def _carry_out_first(operation: Operation, call: Call, held: Claim) -> Answer:
    """Carry the request out; where nobody can say whether it took effect, the claim stays, so that no repeat makes a second effect."""
    try:
        outcome = await operation.act(call)
    except ScimError as error:
        if error.status in _NOT_KEPT or (error.status >= _FAULT and is_without_effect(error)):
            await idempotency.give_up(call.database, held)
        elif error.status < _FAULT:
            problem = msgspec.json.encode(problem_of(error, call.request_id)).decode()
            await _keep(call, held, Stored(error.status, [("content-type", PROBLEM_JSON)], problem))
        raise
    kept = msgspec.json.encode(outcome.body if outcome.kept is None else outcome.kept).decode()
    await _keep(call, held, Stored(operation.status, [("content-type", operation.media_type), *_headers_of(outcome)], kept))
    return _answer(operation, outcome)


async def _keep(call: Call, held: Claim, answer: Stored) -> None:
    """Store the answer; if that fails the effect stands all the same: the client is told of it, and a repeat that it may have happened."""
    try:
        await idempotency.store(call.database, held, answer, concerns=call.concerns)
    except ScimError as error:
        log_fault("idempotency.not_stored", error)


def _answer(operation: Operation, outcome: Outcome) -> Answer:
    body = outcome.body if isinstance(outcome.body, bytes) else msgspec.json.encode(outcome.body)
    return _raw(operation.status, [("content-type", operation.media_type), *_headers_of(outcome)], body)


def _raw(status: int, headers: list[tuple[str, str]], body: bytes) -> Answer:
    encoded = [(name.encode(), value.encode()) for name, value in headers]
    return Answer(status, [*ALWAYS, (b"content-length", b"%d" % len(body)), *encoded], body)


def _headers_of(outcome: Outcome) -> list[tuple[str, str]]:
    found = list(outcome.headers)
    if outcome.version is not None:
        found.append(("etag", f'"{outcome.version}"'))
    if outcome.location is not None:
        found.append(("location", outcome.location))
    return found
