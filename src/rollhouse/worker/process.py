"""The background process: named jobs, each again and again at its interval until the process is told to end; any number of processes may run."""

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import msgspec

from rollhouse.activity import health
from rollhouse.activity.notices import Post, send_due_notices
from rollhouse.activity.request_log import keep_days
from rollhouse.database.health import schema_findings
from rollhouse.database.pool import Database
from rollhouse.journal import sealing
from rollhouse.journal.audit import cause_of
from rollhouse.journal.sealing import AuditKey
from rollhouse.limits.gcra import Limiter
from rollhouse.scim.errors import ScimError
from rollhouse.telemetry.logs import log, log_fault
from rollhouse.telemetry.metrics import AUDIT_SEAL_LAG_SECONDS, CYCLES_BEGUN, JOB_LAST_SUCCESS, SECRET_EXPIRY, TENANT_STALLED_SECONDS, TENANTS, job_failures
from rollhouse.tenancy.lifecycle import purge_due_tenants
from rollhouse.tenancy.sessions import sweep_sessions

SEAL_SECONDS = 5.0
PURGE_SECONDS = 60.0
TOKENS_SECONDS = 60.0
IDEMPOTENCY_SECONDS = 600.0
RECENT = timedelta(minutes=10)
"""How far back an ordinary pass of the sealer looks: longer than any transaction stays open."""
WHOLE = timedelta(hours=1)
"""How often it looks through the whole audit."""
TOKENS_AT_ONCE = 1000
REQUEST_LOG_SECONDS = 600.0
ERASE_SECONDS = 60.0
ERASED_AT_ONCE = 100
NOTICES_SECONDS = 60.0
SESSIONS_SECONDS = 600.0
MEASURE_SECONDS = 30.0
STALLED_SHOWN = 50
EXPIRIES_SHOWN = 100
EXPIRY_DAYS = 30
COUNTS_DAYS = 90
"""How long the counts of requests by hour, of failures and of heads are kept."""
LONGEST_PAUSE_SECONDS = 60.0
"""Longest pause before a job that failed is tried again, unless its interval is longer."""
GRACE_SECONDS = 3.0
"""What a job under way has to finish its batch; after that its transaction is undone. The connections have two seconds more."""

BEAT_SECONDS = 0.25
LATEST_BEAT_SECONDS = 30.0
"""After so long without a beat of its loop a process counts as hung."""
CHECK_SECONDS = 2.0
"""Between two tries to verify a database that could not be verified yet."""

_DELETE_TOKENS = "SELECT rollhouse.delete_expired_tokens($1) AS gone"
_ERASE = "SELECT rollhouse.erase_requests($1) AS erased"
_FORGET_COUNTS = "SELECT rollhouse.forget_old_counts($1)"
_DELETE_IDEMPOTENCY_KEYS = "DELETE FROM rollhouse.idempotency_keys WHERE created < clock_timestamp() - interval '24 hours'"
_CURE = "the job is tried again by itself; if this line comes again and again, check Postgres and run: rollhouse doctor"


class Job(msgspec.Struct, frozen=True):
    """Work that is done again every `seconds`; an error it raises is logged and counted, and it is tried again with growing pauses."""

    name: str
    seconds: float
    work: Callable[[], Awaitable[None]]


class Worker:
    """The jobs of one process."""

    def __init__(self, database: Database, key: AuditKey, limiter: Limiter, *, request_log_days: int, post: Post | None = None) -> None:
        self._post = post
        self._request_log_days = request_log_days
        self._database = database
        self._limiter = limiter
        self._key = key
        self.stopping = asyncio.Event()
        self._whole_since = datetime.min.replace(tzinfo=UTC)
        self.jobs = (
            Job("seal_audit", SEAL_SECONDS, self._seal),
            Job("purge_tenants", PURGE_SECONDS, self._purge),
            Job("delete_tokens", TOKENS_SECONDS, self._delete_tokens),
            Job("delete_idempotency_keys", IDEMPOTENCY_SECONDS, self._delete_idempotency_keys),
            Job("keep_request_log", REQUEST_LOG_SECONDS, self._keep_request_log),
            Job("erase_requests", ERASE_SECONDS, self._erase_requests),
            Job("sweep_sessions", SESSIONS_SECONDS, self._sweep_sessions),
            Job("send_notices", NOTICES_SECONDS, self._send_notices),
            Job("measure_tenants", MEASURE_SECONDS, self._measure_tenants),
        )

    def stop(self) -> None:
        """Let each job end after the batch it is at."""
        self.stopping.set()

    async def run(self) -> None:
        """Do the jobs until `stop`; ends within three seconds of it."""
        tasks = [asyncio.create_task(repeat(job, self.stopping), name=job.name) for job in self.jobs]
        await self.stopping.wait()
        _, late = await asyncio.wait(tasks, timeout=GRACE_SECONDS)
        for task in late:
            task.cancel()
        for task, outcome in zip(tasks, await asyncio.gather(*tasks, return_exceptions=True), strict=True):
            if isinstance(outcome, BaseException):
                log("worker.job_undone", job=task.get_name(), cure="none needed: its last transaction was undone, the next worker does it again")

    async def _seal(self) -> None:
        now: datetime = (await self._database.query("SELECT clock_timestamp()"))[0][0]
        is_whole = now - self._whole_since >= WHOLE
        since = sealing.BEGINNING if is_whole else now - RECENT
        try:
            await sealing.seal_all(self._database, self._key, since, stopping=self.stopping)
        finally:
            if not self.stopping.is_set():
                oldest = await sealing.oldest_unsealed(self._database, since)
                AUDIT_SEAL_LAG_SECONDS.set(0 if oldest is None else max(0.0, (now - oldest).total_seconds()))
        if is_whole:
            self._whole_since = now

    async def _purge(self) -> None:
        for purged in await purge_due_tenants(self._database, cause=cause_of("worker")):
            log("tenant.purged", slug=purged.slug)
            await self._limiter.forget(str(purged.id))

    async def _delete_tokens(self) -> None:
        gone = TOKENS_AT_ONCE
        while gone == TOKENS_AT_ONCE and not self.stopping.is_set():
            gone = (await self._database.query(_DELETE_TOKENS, TOKENS_AT_ONCE))[0]["gone"]

    async def _delete_idempotency_keys(self) -> None:
        await self._database.query(_DELETE_IDEMPOTENCY_KEYS)

    async def _keep_request_log(self) -> None:
        await keep_days(self._database, kept_days=self._request_log_days)
        await self._database.query(_FORGET_COUNTS, COUNTS_DAYS)

    async def _erase_requests(self) -> None:
        erased = ERASED_AT_ONCE
        while erased == ERASED_AT_ONCE and not self.stopping.is_set():
            erased = (await self._database.query(_ERASE, ERASED_AT_ONCE))[0]["erased"]

    async def _sweep_sessions(self) -> None:
        await sweep_sessions(self._database)

    async def _send_notices(self) -> None:
        if self._post is not None:
            await send_due_notices(self._database, self._post)

    async def _measure_tenants(self) -> None:
        """Show how all tenants are: every worker shows the same, so read the largest."""
        TENANTS.set(await health.states_of_all(self._database))
        CYCLES_BEGUN.set(await health.cycles_begun(self._database))
        TENANT_STALLED_SECONDS.set(await health.stalled_longest(self._database, limit=STALLED_SHOWN))
        SECRET_EXPIRY.set(await health.first_ending_secrets(self._database, days=EXPIRY_DAYS, limit=EXPIRIES_SHOWN))


async def repeat(job: Job, stopping: asyncio.Event) -> None:
    """Do a job at its interval until `stopping` is set. After a failure it is tried again after 1, 2, 4 ... seconds, at most a minute or its interval."""
    failures = 0
    while not stopping.is_set():
        try:
            await job.work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other jobs and the next try go on
            failures += 1
            job_failures(job.name).inc()
            log_fault("worker.job_failed", error, job=job.name, failures=failures, cure=_CURE)
            pause = min(2.0 ** min(failures - 1, 16), max(LONGEST_PAUSE_SECONDS, job.seconds)) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        else:
            failures = 0
            pause = job.seconds
            JOB_LAST_SUCCESS.labels(job.name).set_to_current_time()
        try:
            await asyncio.wait_for(stopping.wait(), pause)
        except TimeoutError:
            continue


class Pulse:
    """Whether the process works: its event loop turns, and the database has passed the catalog gate. Asked from another thread."""

    def __init__(self) -> None:
        self._beat = time.monotonic()
        self.problem = "the database has not been checked yet"

    async def beat(self) -> None:
        """Note four times a second that the loop turns; runs until cancelled."""
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(BEAT_SECONDS)

    def life(self) -> str:
        """Nothing while the loop turns; never asks a dependency."""
        late = time.monotonic() - self._beat
        return f"the event loop has not turned for {late:.0f} s" if late > LATEST_BEAT_SECONDS else ""

    def readiness(self) -> str:
        """Nothing while jobs are done."""
        return self.problem or self.life()


async def work_until_stopped(database: Database, key: AuditKey, limiter: Limiter, *, request_log_days: int, pulse: Pulse, post: Post | None = None) -> None:
    """Wait for a database that can be worked on, then do the jobs until SIGTERM or SIGINT; the batch under way is finished."""
    worker = Worker(database, key, limiter, request_log_days=request_log_days, post=post)
    loop = asyncio.get_running_loop()
    for end in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(end, worker.stop)
    beating = asyncio.create_task(pulse.beat())
    try:
        await _wait_for_schema(database, pulse, worker.stopping)
        if not worker.stopping.is_set():
            log("worker.ready", jobs=[job.name for job in worker.jobs])
            await worker.run()
    finally:
        beating.cancel()
        await database.close()
    log("worker.ended")


async def _wait_for_schema(database: Database, pulse: Pulse, stopping: asyncio.Event) -> None:
    """Until the database has passed the catalog gate; what is wrong is logged when it changes."""
    told: list[str] = []
    while not stopping.is_set():
        try:
            await database.open()
            found = await schema_findings(database)
        except ScimError as error:
            found = [f"{error.detail} (cause: {error.__cause__ or error})"]
        if found != told:
            for finding in found:
                log("worker.unverified", finding=finding, cure="the worker waits and goes on by itself once this is mended")
            told = found
        pulse.problem = "the database cannot be worked on; the log and `rollhouse doctor` say why" if found else ""
        if not found:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), CHECK_SECONDS)
