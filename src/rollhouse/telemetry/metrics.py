"""Every metric of the service, by its public name (OpenTelemetry's semantic conventions where they have one); label values are bounded."""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

disable_created_metrics()  # type: ignore[no-untyped-call]  # a third of all series, of which nobody asks anything
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

BUILD = Info("rollhouse_build", "The release that runs.", registry=REGISTRY)
BUILD.info({"version": version("rollhouse")})
REQUEST_SECONDS = Histogram(
    "http_server_request_duration_seconds",
    "Time from the first byte of a request to the last of its answer, by route, method and status.",
    ("http_route", "http_request_method", "http_response_status_code"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
    registry=REGISTRY,
)
ACTIVE_REQUESTS = Gauge("http_server_active_requests", "Requests that are being answered.", registry=REGISTRY)
DATABASE_SECONDS = Histogram(
    "db_client_operation_duration_seconds",
    "Time of one statement or command, by system (postgresql, redis), operation, and SQLSTATE or kind of error ('' without one).",
    ("db_system_name", "db_operation_name", "error_type"),
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10),
    registry=REGISTRY,
)
CONNECTION_COUNT = Gauge("db_client_connection_count", "Connections to Postgres, by state (used, idle).", ("db_client_connection_state",), registry=REGISTRY)
CONNECTION_MAX = Gauge("db_client_connection_max", "Connections to Postgres that this process keeps at most.", registry=REGISTRY)
CONNECTION_PENDING = Gauge("db_client_connection_pending_requests", "Who waits for a connection to Postgres.", registry=REGISTRY)
CONNECTION_WAIT_SECONDS = Histogram(
    "db_client_connection_wait_time_seconds",
    "Time waited for a connection to Postgres by those who found none free.",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1),
    registry=REGISTRY,
)
DEPENDENCY_UP = Gauge("rollhouse_dependency_up", "Whether it answered when it was last asked (every 5 s): postgres, redis.", ("dependency",), registry=REGISTRY)
UNVERIFIED = Gauge("rollhouse_unverified", "1 while SCIM is refused because the database has not passed the checks at start.", registry=REGISTRY)
MIGRATIONS_PENDING = Gauge("rollhouse_migrations_pending", "1 while the database's schema is not the one of this release.", registry=REGISTRY)
LOOP_LAG_SECONDS = Histogram(
    "rollhouse_event_loop_lag_seconds",
    "How much later than asked the event loop woke a task (looked at four times a second).",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
    registry=REGISTRY,
)
TOLERANCES = Counter("rollhouse_tolerances", "Requests that needed a tolerance, by its name (docs/tolerances.md).", ("tolerance",), registry=REGISTRY)
RATE_LIMITED = Counter("rollhouse_rate_limited", "Requests refused by their tenant's rate limit.", registry=REGISTRY)
LIMITER_DEGRADED = Gauge("rollhouse_limiter_degraded", "1 while Redis cannot be asked and limits are counted per process.", registry=REGISTRY)
AUDIT_SEAL_LAG_SECONDS = Gauge(
    "rollhouse_audit_seal_lag_seconds", "Age of the oldest row of the audit that no seal covers, as of the last pass of this worker.", registry=REGISTRY
)
JOB_FAILURES = Counter("rollhouse_job_failures", "Times that a job of the worker failed, by its name.", ("worker_job",), registry=REGISTRY)
JOB_LAST_SUCCESS = Gauge("rollhouse_job_last_success_timestamp_seconds", "When a job of the worker last ended well.", ("worker_job",), registry=REGISTRY)
REQUEST_LOG_WAITING = Gauge("rollhouse_request_log_waiting", "Entries that wait to be written to the request log.", registry=REGISTRY)
REQUEST_LOG_DROPPED = Counter(
    "rollhouse_request_log_dropped",
    "Entries that the request log did not keep (a whole one, or its body), by the bound they met: queue, body, refused, database; or a fault.",
    ("bound",),
    registry=REGISTRY,
)
TRACES = Counter("rollhouse_traces", "Traces, by why: sampled here, asked for by the caller, or failed (told after the fact).", ("reason",), registry=REGISTRY)

request_seconds = lru_cache(maxsize=2000)(REQUEST_SECONDS.labels)
"""The cached child of the histogram for one combination of labels."""
database_seconds = lru_cache(maxsize=2000)(DATABASE_SECONDS.labels)
"""The cached child of the histogram for one combination of labels."""
tolerance_count = lru_cache(maxsize=100)(TOLERANCES.labels)
"""The cached child of the counter for one tolerance."""
request_log_dropped = lru_cache(maxsize=10)(REQUEST_LOG_DROPPED.labels)
"""The cached child of the counter for one bound."""
job_failures = lru_cache(maxsize=100)(JOB_FAILURES.labels)
"""The cached child of the counter for one job."""


class Kept(Collector):
    """A counter that others keep as plain numbers, by one label: read when it is asked for, at no cost before."""

    def __init__(self, name: str, documentation: str, label: str) -> None:
        self._name, self._documentation, self._label = name, documentation, label
        self.read: Mapping[str, Callable[[], int]] = {}
        REGISTRY.register(self)

    def collect(self) -> Iterator[Metric]:
        """The counter with what is kept by now."""
        found = CounterMetricFamily(self._name, self._documentation, labels=(self._label,))
        for value, count in self.read.items():
            found.add_metric((value,), count())
        yield found


class PerTenant(Collector):
    """A gauge for a bounded list of tenants that is replaced as a whole, so that no scrape sees half of it."""

    def __init__(self, name: str, documentation: str, label: str = "tenant") -> None:
        self._name, self._documentation, self._label = name, documentation, label
        self._values: Mapping[str, float] = {}
        REGISTRY.register(self)

    def describe(self) -> Iterator[Metric]:
        """Its name, before it has values."""
        yield GaugeMetricFamily(self._name, self._documentation)

    def set(self, values: Mapping[str, float]) -> None:
        """Show these values and no others."""
        self._values = dict(values)

    def collect(self) -> Iterator[Metric]:
        """The gauge with its values."""
        found = GaugeMetricFamily(self._name, self._documentation, labels=(self._label,))
        for tenant, value in self._values.items():
            found.add_metric((tenant,), value)
        yield found


REFUSED_BUSY = Kept("rollhouse_refused_busy", "Requests and statements refused because a line (connections, in_flight) was full or too slow.", "line")
CREDENTIAL_LOOKUPS = Kept("rollhouse_credential_lookups", "Look-ups of a secret, by whether it was known (hit, miss).", "result")
TENANTS = PerTenant("rollhouse_tenants", "Active tenants by the state of their provisioning (healthy, stalled, failing, unused).", "state")
CYCLES_BEGUN = PerTenant("rollhouse_cycles_begun", "Active tenants whose last cycle of provisioning began within so many minutes.", "minutes")
TENANT_STALLED_SECONDS = PerTenant("rollhouse_tenant_stalled_seconds", "Seconds since the last success of the 50 tenants that have stalled longest.")
SECRET_EXPIRY = PerTenant("rollhouse_secret_expiry_timestamp_seconds", "When a tenant's first secret ends, for the 100 that end first within 30 days.")


def serve_metrics(host: str, port: int, *, probes: Mapping[str, Callable[[], str]] | None = None) -> None:
    """Answer GET /metrics on its own port (OpenMetrics with exemplars for who accepts it), from a thread that ends with the process.

    `probes` are further paths: 200 where their function returns nothing, else 503 with what it returns.
    """
    server, _ = start_http_server(port, addr=host, registry=REGISTRY)
    metrics: Any = server.get_app()

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        probe = (probes or {}).get(environ["PATH_INFO"])
        if probe is None:
            return metrics(environ, start_response)
        problem = probe()
        start_response("503 Service Unavailable" if problem else "200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        return [problem.encode() or b"ok"]

    server.set_app(answer)
