"""Every metric of the service, by its public name; label values are bounded."""

from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

REGISTRY = CollectorRegistry()

REQUEST_SECONDS = Histogram(
    "http_server_request_duration_seconds",
    "Time from the first byte of a request to the last of its answer, by route, method and status.",
    ("http_route", "http_request_method", "http_response_status_code"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
TOLERANCES = Counter("rollhouse_tolerances", "Requests that needed a tolerance, by its name (docs/tolerances.md).", ("tolerance",), registry=REGISTRY)
RATE_LIMITED = Counter("rollhouse_rate_limited", "Requests refused by their tenant's rate limit.", registry=REGISTRY)
LIMITER_DEGRADED = Gauge("rollhouse_limiter_degraded", "1 while Redis cannot be asked and limits are counted per process.", registry=REGISTRY)
AUDIT_SEAL_LAG_SECONDS = Gauge(
    "rollhouse_audit_seal_lag_seconds", "Age of the oldest row of the audit that no seal covers, as of the last pass of this worker.", registry=REGISTRY
)
JOB_FAILURES = Counter("rollhouse_job_failures", "Times that a job of the worker failed, by its name.", ("job",), registry=REGISTRY)

REQUEST_LOG_WAITING = Gauge("rollhouse_request_log_waiting", "Entries that wait to be written to the request log.", registry=REGISTRY)
REQUEST_LOG_DROPPED = Counter(
    "rollhouse_request_log_dropped",
    "Entries that the request log did not keep (a whole one, or its body), by the bound they met: queue, body, refused, database; or a fault.",
    ("bound",),
    registry=REGISTRY,
)

request_seconds = lru_cache(maxsize=2000)(REQUEST_SECONDS.labels)
"""The cached child of the histogram for one combination of labels."""
tolerance_count = lru_cache(maxsize=100)(TOLERANCES.labels)
"""The cached child of the counter for one tolerance."""
request_log_dropped = lru_cache(maxsize=10)(REQUEST_LOG_DROPPED.labels)
"""The cached child of the counter for one bound."""
job_failures = lru_cache(maxsize=100)(JOB_FAILURES.labels)
"""The cached child of the counter for one job."""


def serve_metrics(host: str, port: int) -> None:
    """Answer GET /metrics on its own port, from a thread that ends with the process."""
    start_http_server(port, addr=host, registry=REGISTRY)
