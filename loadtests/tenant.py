"""One tenant's identity provider under locust: the simulator's job and requests, driven by greenlets instead of an event loop."""

import random
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import gevent
import msgspec
from gevent.lock import Semaphore
from gevent.pool import Group
from locust.contrib.fasthttp import FastHttpSession

from loadtests.plan import Seat
from loadtests.profiles import Role
from loadtests.recording import Recorder
from rollhouse.simulator.client import REQUEST_MEDIA_TYPE, TOO_MANY_REQUESTS, Answer, Call, decode_document, violations_of
from rollhouse.simulator.job import Job
from rollhouse.simulator.profile import Profile, draw_dialect, draw_profile
from rollhouse.simulator.tenant_url import parse_tenant_url

KEPT_SECONDS = 2
"""A turn that nobody can use at once is kept for so long: late requests catch up, but not without end."""
ENDING_SECONDS = 10
FIRST_REFUSAL = 400
T = TypeVar("T")


def finish(work: Awaitable[T]) -> T:
    """The result of a coroutine that only ever waits inside of greenlets, and so never gives up control to an event loop."""
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as end:
        return end.value
    raise RuntimeError("The coroutine waits for an event loop, and there is none.")


async def run_as_greenlets(job: Job, items: Iterable[T], workers: int, step: Callable[[T], Awaitable[object]]) -> None:
    """The simulator's crew, as greenlets."""
    queue = iter(items)

    def work() -> None:
        for item in queue:
            if job.stopped:
                return
            finish(step(item))

    crew = [gevent.spawn(work) for _ in range(workers)]
    gevent.joinall(crew, raise_error=True)
    if any(isinstance(one.value, gevent.GreenletExit) for one in crew):
        raise gevent.GreenletExit  # the run is over: what follows in the cycle must not pass for done


class Turns:
    """Hands out permissions to send, one for each that comes due."""

    def __init__(self, role: Role) -> None:
        self._most = max(1, round(role.rate_per_second * KEPT_SECONDS))
        self._free = Semaphore(self._most if role.work == "cycles" else 0)
        self._over = False

    def come_due(self) -> None:
        """Let one more request go."""
        if self._free.counter < self._most:
            self._free.release()

    def take(self) -> None:
        """Wait for a turn; ends the greenlet when the run is over."""
        self._free.acquire()
        if self._over:
            self._free.release()
            raise gevent.GreenletExit

    def end(self) -> None:
        """Send home everybody who waits or will wait."""
        self._over = True
        self._free.release()


class LocustSender:
    """The simulator's way to its server, over locust's client; every answer is checked as Entra ID would, and counted."""

    def __init__(self, http: FastHttpSession, seat: Seat, role: Role, profile: Profile, recorder: Recorder) -> None:
        self.profile = profile
        self.turns = Turns(role)
        self._http = http
        http.client.redirect_response_codes = frozenset()
        self._role = role
        self._recorder = recorder
        self._tenant_url = parse_tenant_url(seat.scim_url)
        self._flag = profile.flag_propagation if profile.dialect == "flag" else None
        self._headers = {"Authorization": f"Bearer {seat.secret}", "Accept-Encoding": "gzip, deflate"}
        self._write_headers = self._headers | {"Content-Type": REQUEST_MEDIA_TYPE}

    async def send(self, call: Call) -> Answer:
        """The answer to a call, when its turn has come; nothing is repeated, so that every failure shows."""
        self.turns.take()
        url = str(self._tenant_url.request_url(call.path, call.query, self._flag))
        headers, data = (self._headers, None) if call.body is None else (self._write_headers, msgspec.json.encode(call.body))
        name = f"{self._role.name}: {call.request_type}"
        started = time.perf_counter()
        with self._http.request(call.method, url, name=name, data=data, headers=headers, catch_response=True) as response:
            took = time.perf_counter() - started
            if response.status_code:
                shown, raw = response.headers, response.content or b""
                answer = Answer(response.status_code, decode_document(raw), shown.get("Location"), raw=raw, content_type=shown.get("Content-Type", ""))
                why = violations_of(call, answer)
            else:
                answer = Answer(0, fault=type(response.error).__name__)
                why = [f"no answer: {answer.fault}"]
            throttled = answer.status == TOO_MANY_REQUESTS
            if answer.status >= FIRST_REFUSAL and not (throttled and self._role.throttled) and not why:
                why = [f"status {answer.status}: {(answer.document or {}).get('detail')}"]
            if why:
                response.failure(why[0])
            else:
                response.success()
        self._recorder.record(self._role.name, call.request_type, took, status=answer.label, failed=bool(why), throttled=throttled)
        if why:
            self._recorder.explain(call.request_type, why[0])
        return answer


class IdentityProvider:
    """What one locust user is: a tenant's job, with its workers in greenlets."""

    def __init__(self, http: FastHttpSession, number: int, seat: Seat, role: Role, recorder: Recorder) -> None:
        profile = draw_profile(1, number, secrets.token_hex(4), draw_dialect(1, number))
        self.role = role
        self.profile = profile
        self.recorder = recorder
        self.sender = LocustSender(http, seat, role, profile, recorder)
        self._crew = Group()
        self._began = time.monotonic()

    def begin(self, work: Callable[["IdentityProvider"], list[Callable[[], None]]]) -> None:
        """Start the workers, somewhere within the first interval, so that tenants do not send in step."""
        gevent.sleep(random.random() / self.role.rate_per_second)
        self._began = time.monotonic()
        self.recorder.count("tenants", self.role.name)
        for one in work(self):
            self._crew.spawn(one)

    def end(self) -> None:
        """Let what is in flight end, and note how many requests were due."""
        self.sender.turns.end()
        self.recorder.count("due", self.role.name, self.role.rate_per_second * (time.monotonic() - self._began))
        self._crew.join(timeout=ENDING_SECONDS)
        self._crew.kill()
