"""Sends one request at a time to a SCIM server: pace, clock, repetition, and the assertions on the answer."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
import msgspec
from multidict import CIMultiDict

from rollhouse.simulator.checks import FIRST_ERROR_STATUS, NO_CONTENT, check_body, check_error, check_status
from rollhouse.simulator.mapping import Document
from rollhouse.simulator.pacing import Pace
from rollhouse.simulator.profile import FlagPropagation, Profile
from rollhouse.simulator.tally import Incompatible, Tally
from rollhouse.simulator.tenant_url import TenantUrl

CONNECT_TIMEOUT_SECONDS = 5
REQUEST_MEDIA_TYPE = "application/scim+json; charset=utf-8"
THROTTLE_REPEATS = 5
"""How often one request is repeated after 429 by a job that honours Retry-After (section 12.6)."""
DEFAULT_RETRY_AFTER_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 300.0
IMMEDIATE_RETRY_SHARE = 0.2
"""Share of faults after which the same request is sent once more at once: this tests idempotency."""

TOO_MANY_REQUESTS = 429
FIRST_FAULT_STATUS = 500
SUCCESSES = range(200, 300)
REFUSALS = frozenset({401, 403, 429, 500, 502, 503, 504})
"""Failures that are allowed as an answer to anything, as long as they are SCIM Errors."""

Check = Callable[[Document, "Answer"], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to make, with the statuses that are fine and the check of a successful body."""

    request_type: str
    method: str
    path: str
    subject: str
    """What the request is about, in the directory's terms: seeds the choice of repeating it."""
    query: tuple[tuple[str, str], ...] = ()
    body: Document | None = None
    allowed: frozenset[int]
    check: Check | None = None

    @property
    def shown_path(self) -> str:
        """Path and query in readable form, for reports."""
        query = "&".join(f"{name}={value}" for name, value in self.query)
        return f"{self.path}?{query}" if query else self.path


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; status 0 means that nothing did, and `fault` says why."""

    status: int
    document: Document | None = None
    location: str | None = None
    retry_after_seconds: float = DEFAULT_RETRY_AFTER_SECONDS
    fault: str = ""
    detail: str = ""
    """What the operating system or the TLS library said about the fault."""
    raw: bytes = b""
    content_type: str = ""

    @property
    def label(self) -> str:
        """The status for statistics: digits, or the name of the fault."""
        return str(self.status) if self.status else self.fault

    @property
    def faulty(self) -> bool:
        """Whether it is unknown what the server did: no answer, or a status of 500 and above."""
        return self.status == 0 or self.status >= FIRST_FAULT_STATUS

    @property
    def ok(self) -> bool:
        """Whether the status is a success."""
        return self.status in SUCCESSES

    @property
    def resources(self) -> list[Document]:
        """The objects of a ListResponse; empty when there is none."""
        found = self.document.get("Resources") if self.document else None
        return [resource for resource in found if isinstance(resource, dict)] if isinstance(found, list) else []


class Sender(Protocol):
    """A way to a tenant's SCIM server: what the primitives need of a client, whatever drives it."""

    @property
    def profile(self) -> Profile:
        """The job on whose behalf it sends."""

    async def send(self, call: Call) -> Answer:
        """The answer to a call."""


@dataclass(slots=True)
class ScimClient:
    """One job's way to its server; everything it sees goes into the tally."""

    session: aiohttp.ClientSession
    tenant_url: TenantUrl
    profile: Profile
    tally: Tally
    pace: Pace
    flag: FlagPropagation | None = None
    """How the flag travels with requests now; None without the flag."""
    _faults: dict[str, int] = field(default_factory=dict)

    async def send(self, call: Call) -> Answer:
        """The answer to a call, after the repetitions that section 12.6 allows."""
        answer = await self._exchange(call)
        if self.profile.honours_retry_after:
            for _ in range(THROTTLE_REPEATS):
                if answer.status != TOO_MANY_REQUESTS:
                    break
                self.pace.pause(min(answer.retry_after_seconds, LONGEST_PAUSE_SECONDS))
                answer = await self._exchange(call)
        if answer.faulty and self._repeats_at_once(call):
            answer = await self._exchange(call)
        return answer

    def _repeats_at_once(self, call: Call) -> bool:
        key = f"{call.request_type}:{call.subject}"
        self._faults[key] = self._faults.get(key, 0) + 1
        return self.profile.draw("repeat", key, self._faults[key]).random() < IMMEDIATE_RETRY_SHARE

    async def _exchange(self, call: Call) -> Answer:
        await self.pace.wait_for_turn()
        started = time.perf_counter()
        answer = await self._ask(call)
        self.tally.record_request(call.request_type, call.method, answer.label, time.perf_counter() - started)
        if answer.status:
            for why in violations_of(call, answer):
                found = Incompatible(call.request_type, call.method, call.shown_path, answer.label, why)
                self.tally.record_incompatible(found)
        return answer

    async def _ask(self, call: Call) -> Answer:
        url = self.tenant_url.request_url(call.path, call.query, self.flag)
        headers = None if call.body is None else CIMultiDict({"Content-Type": REQUEST_MEDIA_TYPE})
        data = None if call.body is None else msgspec.json.encode(call.body)
        try:
            async with self.session.request(call.method, url, data=data, headers=headers, allow_redirects=False) as response:
                raw = await response.read()
        except TimeoutError:
            return Answer(0, fault="timeout")
        except aiohttp.ClientConnectorError as error:
            return Answer(0, fault="unreachable", detail=str(error))
        except (aiohttp.ClientError, OSError):
            return Answer(0, fault="reset")
        return Answer(
            response.status,
            decode_document(raw),
            response.headers.get("Location"),
            retry_after_seconds(response.headers.get("Retry-After")),
            raw=raw,
            content_type=response.headers.get("Content-Type", ""),
        )


def violations_of(call: Call, answer: Answer) -> list[str]:
    """Everything about an answer that Entra could not work with (section 12.2)."""
    violations = check_status(answer.status, call.allowed, answer.document)
    violations += check_body(answer.status, answer.content_type, answer.raw)
    if answer.status == NO_CONTENT or not answer.raw:
        return violations
    if answer.document is None:
        return [*violations, "the body is not a JSON object"]
    if answer.status >= FIRST_ERROR_STATUS:
        return violations + check_error(answer.document, answer.status)
    if call.check is not None:
        violations += call.check(answer.document, answer)
    return violations


def decode_document(raw: bytes) -> Document | None:
    """The JSON object of a body; None when it is empty, not JSON, or something else."""
    try:
        document = msgspec.json.decode(raw) if raw else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def retry_after_seconds(header: str | None) -> float:
    """Retry-After in seconds; anything but digits counts as the default."""
    return float(header) if header is not None and header.strip().isdecimal() else DEFAULT_RETRY_AFTER_SECONDS


def open_session(secret: str, timeout_seconds: float, connections: int) -> aiohttp.ClientSession:
    """A session that sends the secret and as few other headers as Entra is known for (section 2)."""
    return aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {secret}"},
        skip_auto_headers=["User-Agent"],
        timeout=aiohttp.ClientTimeout(total=timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS),
        connector=aiohttp.TCPConnector(limit=connections),
        cookie_jar=aiohttp.DummyCookieJar(),
    )
