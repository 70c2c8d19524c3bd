"""What one process holds while it serves: database, gates and limits, and whether it may serve at all."""

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable
from functools import partial

from redis.exceptions import RedisError

from rollhouse.activity.live import Live
from rollhouse.activity.request_log import RequestLog, keep_days
from rollhouse.database.changes import Changes
from rollhouse.database.health import ping, schema_findings
from rollhouse.database.pool import Database
from rollhouse.database.turns import Turns
from rollhouse.directory.registries import Registries
from rollhouse.http.cursors import CURSOR_SECONDS
from rollhouse.http.deadlines import Deadlines
from rollhouse.http.findings import is_local, server_findings, setting_findings
from rollhouse.http.lifeline import is_ending
from rollhouse.http.sources import read_networks, source_of
from rollhouse.limits.failures import FailedAuthentications, PasswordTries
from rollhouse.limits.gcra import Limiter, connect
from rollhouse.limits.limit import Limit
from rollhouse.portal.parts import Portal
from rollhouse.scim.discovery import Limits
from rollhouse.scim.errors import InvalidValue, ScimError, Unavailable
from rollhouse.settings import Settings, SettingsError
from rollhouse.telemetry.logs import flush, log, log_fault
from rollhouse.telemetry.metrics import (
    ACTIVE_REQUESTS,
    CONNECTION_COUNT,
    CONNECTION_MAX,
    CONNECTION_PENDING,
    CREDENTIAL_LOOKUPS,
    DEPENDENCY_UP,
    LIMITER_DEGRADED,
    LOOP_LAG_SECONDS,
    MIGRATIONS_PENDING,
    REFUSED_BUSY,
    UNVERIFIED,
    serve_metrics,
)
from rollhouse.telemetry.traces import Tracer
from rollhouse.tenancy.access import CredentialGate, note_uses
from rollhouse.tenancy.federation import KeyHosts, KeySets
from rollhouse.tenancy.openid import Provider, SignIn, check_issuer, read_operators
from rollhouse.tenancy.secrets import Peppers

GC_THRESHOLD = 10_000
"""Objects made between two runs of the garbage collector."""
IN_FLIGHT = 500
"""Requests that one process works on at once, bodies under way included: bounds its memory."""
IN_FLIGHT_OF_A_TENANT = 20
IN_FLIGHT_LINE = 1000
IN_FLIGHT_WAIT_SECONDS = 1.0
NOTE_USES_SECONDS = 10.0
"""How often the uses of credentials are written; of one credential at most once a minute."""
CANNOT_SERVE = "the database cannot be served from; the log and `rollhouse doctor` say why"
KEEP_DAYS_SECONDS = 3600.0
LAST_ROWS_SECONDS = 3.0
"""What the request log has at the end to write what waits; a process has eight seconds to end."""
WATCH_SECONDS = 5.0
ANSWER_SECONDS = 2.0
LAG_SECONDS = 0.25
CHECK_SECONDS = 2.0
"""Between two tries to verify a database that could not be verified yet."""


class Service:
    """The parts of a serving process, wired once. SCIM is refused with 503 until the database has passed the catalog gate."""

    def __init__(self, settings: Settings) -> None:
        """Wire the parts; nothing is opened yet.

        Raises:
            SettingsError: a setting that serving needs is missing or malformed.
        """
        if settings.database_url is None:
            raise SettingsError("ROLLHOUSE_DATABASE_URL is not set: give the URL of Postgres as rollhouse_app, or use: rollhouse dev")
        if settings.peppers is None:
            raise SettingsError("ROLLHOUSE_PEPPERS is not set: give the keys for the MACs of secrets, e.g. 1:<base64url of 32 random bytes>")
        if settings.public_url is None:
            raise SettingsError("ROLLHOUSE_PUBLIC_URL is not set: give the address that identity providers use, e.g. https://scim.example.com")
        try:
            peppers = Peppers.parse(settings.peppers)
        except ValueError as error:
            raise SettingsError(f"ROLLHOUSE_PEPPERS cannot be used: {error}") from None
        try:
            self.trusted_proxies = read_networks(settings.trusted_proxies)
        except ValueError as error:
            raise SettingsError(f"ROLLHOUSE_TRUSTED_PROXIES cannot be used: {error}; give networks such as 10.0.0.0/8,fd00::/8") from None
        try:
            self.key_sets = KeySets(KeyHosts.parse(settings.federation_hosts))
        except ValueError as error:
            raise SettingsError(f"ROLLHOUSE_FEDERATION_HOSTS cannot be used: {error}.") from None
        self.public_url = settings.public_url.rstrip("/")
        self._metrics = (settings.host, settings.metrics_port)
        self.body_limit_bytes = settings.body_limit_bytes
        self.limits = Limits(
            settings.page_size_limit, settings.page_size_default, settings.bulk_operations_limit, settings.bulk_body_limit_bytes, CURSOR_SECONDS
        )
        self.default_limit = Limit(settings.rate_per_second, settings.burst)
        self.database = Database(settings.database_url, connections=settings.database_connections)
        self.in_flight = Turns(permits=IN_FLIGHT, share=IN_FLIGHT_OF_A_TENANT, line=IN_FLIGHT_LINE, wait_seconds=IN_FLIGHT_WAIT_SECONDS)
        self.deadlines = Deadlines()
        self.peppers = peppers
        self.registries = Registries(self.database)
        self.gate = CredentialGate(self.database, peppers)
        self.failures = FailedAuthentications()
        self._changes = Changes(settings.database_url, heard=self.gate.forget, deaf=self.gate.forget_all)
        try:
            self.limiter: Limiter = connect(settings.redis_url)
            self.has_redis = settings.redis_url is not None
            self.live: Live = Live(settings.redis_url, is_ending=is_ending)
        except ValueError as error:
            raise SettingsError(f"ROLLHOUSE_REDIS_URL cannot be used: {error}; give one such as redis://redis:6379/0.") from None
        self.portal = self._portal(settings)
        self.request_log = RequestLog(self.database, self.live, gap_seconds=settings.cycle_gap_seconds)
        self._request_log_days = settings.request_log_days
        self.active_requests = 0
        self.tracer = Tracer(settings.otlp_endpoint, settings.trace_one_in) if settings.otlp_endpoint is not None else None
        self.problems = ["the database has not been checked yet"]
        self._measure(settings)
        self._verified = asyncio.Event()
        self._background: list[asyncio.Task[None]] = []

    def _measure(self, settings: Settings) -> None:
        """Let the metrics read what this process holds, when they are asked for."""
        ACTIVE_REQUESTS.set_function(lambda: self.active_requests)
        LIMITER_DEGRADED.set_function(lambda: float(self.limiter.is_degraded))
        UNVERIFIED.set_function(lambda: float(bool(self.problems)))
        CONNECTION_MAX.set(settings.database_connections)
        CONNECTION_PENDING.set_function(lambda: self.database.turns.waiting)
        CONNECTION_COUNT.labels("used").set_function(lambda: self.database.turns.taken)
        CONNECTION_COUNT.labels("idle").set_function(lambda: self.database.idle)
        CREDENTIAL_LOOKUPS.read = {"hit": lambda: self.gate.hits, "miss": lambda: self.gate.misses}
        REFUSED_BUSY.read = {"connections": lambda: self.database.turns.refused, "in_flight": lambda: self.in_flight.refused}

    def _portal(self, settings: Settings) -> Portal:
        provider = None
        try:
            if settings.oidc_issuer is not None and settings.oidc_client_id is not None:
                check_issuer(self.key_sets.hosts, settings.oidc_issuer)
                provider = Provider(settings.oidc_issuer, settings.oidc_client_id, settings.oidc_client_secret)
            operators = read_operators(settings.oidc_operators)
        except InvalidValue as error:
            raise SettingsError(f"ROLLHOUSE_OIDC_ISSUER or ROLLHOUSE_OIDC_OPERATORS cannot be used: {error}") from None
        sign_in = SignIn(self.key_sets, f"{self.public_url}/signin/oidc/callback")
        source = partial(source_of, trusted=self.trusted_proxies)

        async def findings() -> list[str]:
            wrong = await asyncio.to_thread(setting_findings, settings, is_dev=is_local(settings))  # it asks for the name of the host
            return wrong + await server_findings(settings, self.database)

        tries = PasswordTries()
        parts = self.database, self.registries, self.peppers, self.public_url, self.live, self.default_limit
        return Portal(*parts, tries, source, sign_in, provider, operators, findings)

    async def start(self) -> None:
        """Open the metrics port and begin to verify the database; returns at once."""
        serve_metrics(*self._metrics)
        # What is loaded by now stays: the collector need not walk it again, nor run every 700 objects (6 % of a request's CPU).
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 20, 20)
        background = (
            self._verify,
            self.deadlines.watch,
            self._changes.listen,
            self._note_uses,
            self._keep_days,
            self._watch_dependencies,
            self.request_log.write,
            self.live.listen,
            measure_loop_lag,
        )
        self._background = [asyncio.create_task(work()) for work in background]

    async def stop(self) -> None:
        """End what was started; statements under way have five seconds."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_ROWS_SECONDS):
                await self.request_log.flush()
        with contextlib.suppress(ScimError):
            await note_uses(self.database, self.gate.take_uses())
        await self.database.close()
        if self.tracer is not None:
            await asyncio.to_thread(self.tracer.close)
        flush()

    def require_verified(self) -> None:
        """Let SCIM through only after the catalog gate.

        Raises:
            Unavailable: the database has not passed it.
        """
        if self.problems:
            raise Unavailable("The service is starting; try again.", retry_after_seconds=5)

    async def unreadiness(self, *, asks_postgres: bool = True) -> list[str]:
        """Why this process should get no traffic now; empty when it is ready."""
        if self.problems:
            return self.problems
        if is_ending():
            return ["the process is ending"]
        if not asks_postgres:
            return []
        try:
            await asyncio.wait_for(ping(self.database), 2)
        except (ScimError, TimeoutError) as error:
            log("service.unready", error=type(error).__name__, cure="check that Postgres runs and can be reached; rollhouse doctor says more")
            return ["the database does not answer"]
        return []

    async def _watch_dependencies(self) -> None:
        """Ask Postgres and Redis every five seconds whether they answer: an alert must not wait for a request to find out."""
        while True:
            DEPENDENCY_UP.labels("postgres").set(await _answers(lambda: ping(self.database)))
            if self.has_redis:
                DEPENDENCY_UP.labels("redis").set(await _answers(self.limiter.ping))
            await asyncio.sleep(WATCH_SECONDS)

    async def _note_uses(self) -> None:
        while True:
            await asyncio.sleep(NOTE_USES_SECONDS)
            with contextlib.suppress(ScimError):  # the database is away: uses are noted when the credentials are used again
                await note_uses(self.database, self.gate.take_uses())

    async def _verify(self) -> None:
        is_open = False
        told: list[str] = []
        while self.problems:
            try:
                if not is_open:
                    await self.database.open()
                    is_open = True
                found = await schema_findings(self.database)
            except ScimError as error:
                found = [f"{error.detail} (cause: {error.__cause__ or error})"]
            if found != told:
                for finding in found:
                    log("service.unverified", finding=finding)
                told = found
            MIGRATIONS_PENDING.set(any("rollhouse migrate" in finding for finding in found))
            # The probes are on the public port: they say that something is wrong, the log and `rollhouse doctor` say what (threat T43).
            self.problems = [CANNOT_SERVE] if found else []
            if found:
                await asyncio.sleep(CHECK_SECONDS)
        log("service.ready")
        self._verified.set()

    async def _keep_days(self) -> None:
        """See to it that the request log has room for today, also where no worker runs."""
        await self._verified.wait()
        while True:
            try:
                await keep_days(self.database, kept_days=self._request_log_days)
            except ScimError as error:
                log_fault("request_log.days_not_kept", error, cure="it is tried again in an hour; if this line comes again, run: rollhouse doctor")
            await asyncio.sleep(KEEP_DAYS_SECONDS)


async def measure_loop_lag() -> None:
    """Measure four times a second how late the event loop is; runs until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        wanted = loop.time() + LAG_SECONDS
        await asyncio.sleep(LAG_SECONDS)
        LOOP_LAG_SECONDS.observe(max(0.0, loop.time() - wanted))


async def _answers(ask: Callable[[], Awaitable[object]]) -> bool:
    """Whether a server answers; that this process finds no connection free for the question says nothing against the server."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await ask()
    except ScimError as error:
        return error.__cause__ is None
    except (RedisError, OSError, TimeoutError):
        return False
    return True
