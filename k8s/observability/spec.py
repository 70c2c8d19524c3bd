"""What is promised to tenants and what wakes somebody: objectives and alerts, with the series that must and must not fire each.

Expressions name durations as {5m}: a drill runs the same rules with all of them divided by one factor.
"""

from dataclasses import dataclass, field
from typing import Literal

SCIM = 'http_route=~"/t/.+"'
"""The requests of identity providers; a refusal by a tenant's own limit (429) counts neither way."""
_SECONDS = "http_server_request_duration_seconds"
_ALL = f'sum(rate({_SECONDS}_count{{{SCIM},http_response_status_code!="429"}}[WINDOW]))'
_FAILED = f'sum(rate({_SECONDS}_count{{{SCIM},http_response_status_code=~"5.."}}[WINDOW]))'
_READS = f'{SCIM},http_request_method="GET",http_response_status_code=~"2.."'
_WRITES = 'http_route=~"/t/.+",http_route!~".+/.search",http_request_method!="GET",http_response_status_code=~"2.."'
"""A search by POST writes nothing, and is none of the look-ups that identity providers make."""


def slow(selected: str, seconds: str) -> str:
    """The share of requests that took longer than a bucket's bound."""
    return f'1 - (sum(rate({_SECONDS}_bucket{{{selected},le="{seconds}"}}[WINDOW])) / sum(rate({_SECONDS}_count{{{selected}}}[WINDOW])))'


@dataclass(frozen=True)
class Objective:
    """A promise over 30 days: `errors` is the share of bad events in WINDOW, of which 1 - `target` may be."""

    name: str
    alert: str
    target: float
    errors: str
    promise: str
    meaning: str
    look: tuple[str, ...]
    cure: tuple[str, ...]
    spoils: dict[str, str] = field(default_factory=dict)
    """Series of a test by which all is bad."""
    keeps: dict[str, str] = field(default_factory=dict)
    """Series of a test by which nothing is."""


def _series(kind: str, method: str, status: str, more: str = "") -> str:
    """A series of the requests' histogram as a test writes it."""
    return f'{_SECONDS}_{kind}{{http_route="/t/x",http_request_method="{method}",http_response_status_code="{status}"{more}}}'


OBJECTIVES = (
    Objective(
        name="availability",
        alert="AvailabilityBurns",
        target=0.999,
        errors=f"({_FAILED} or 0 * {_ALL}) / {_ALL}",
        promise="99.9 % of the requests of identity providers are not answered with 5xx.",
        meaning="Identity providers are told that the service failed. They try again; users and groups arrive late, none is lost.",
        look=(
            "Overview dashboard, row Errors: which route and which status. 500 is a bug, 503 is something that the service needs.",
            "The log: lines with the event request.fault (frames and SQLSTATE) or request.unavailable (what is away).",
            "Traces: every request that failed has one, also when it was not sampled; its error.type is the SQLSTATE.",
        ),
        cure=(
            "500 since a roll-out: roll back (`helm rollback`); the schema of the release before keeps working.",
            "503: see the alerts on Postgres, the pool and migrations; each has its own page.",
        ),
        spoils={_series("count", "GET", "200"): "0+90x260", _series("count", "GET", "500"): "0+10x260", _series("count", "POST", "429"): "0+9900x260"},
        keeps={_series("count", "GET", "200"): "0+100x260", _series("count", "GET", "429"): "0+100x260"},
    ),
    Objective(
        name="latency_reads",
        alert="ReadsAreSlow",
        target=0.99,
        errors=slow(_READS, "0.25"),
        promise="99 % of good reads take at most 0.25 s.",
        meaning="Look-ups by identity providers are slow. Cycles take longer; at 30 s Entra ID gives a request up.",
        look=(
            "Dependencies dashboard: time of statements by operation, connections waited for, lag of the event loop, CPU of the pods.",
            "Top tenants dashboard: whether one tenant makes most of the requests.",
        ),
        cure=(
            "CPU of the pods at its limit: let the autoscaler add some, or raise its maximum.",
            "Statements slow, CPU of Postgres at its limit: find the operation; a filter that no index answers is bounded to 2 s a request.",
        ),
        spoils={_series("bucket", "GET", "200", ',le="0.25"'): "0+50x260", _series("count", "GET", "200"): "0+100x260"},
        keeps={_series("bucket", "GET", "200", ',le="0.25"'): "0+100x260", _series("count", "GET", "200"): "0+100x260"},
    ),
    Objective(
        name="latency_writes",
        alert="WritesAreSlow",
        target=0.99,
        errors=slow(_WRITES, "0.5"),
        promise="99 % of good writes take at most 0.5 s.",
        meaning="Changes by identity providers are slow to be stored.",
        look=(
            "Dependencies dashboard: create_resource, update_resource and delete_resource; locks and commits are in their time.",
            "Postgres: whether its disk is slow (`pg_stat_io`), or one group gets all writes (one row, written in turn).",
        ),
        cure=("A slow disk: move the write-ahead log to a faster one.", "A backup or a vacuum at work: it ends by itself; spread it over more time."),
        spoils={_series("bucket", "POST", "201", ',le="0.5"'): "0+50x260", _series("count", "POST", "201"): "0+100x260"},
        keeps={_series("bucket", "POST", "201", ',le="0.5"'): "0+100x260", _series("count", "POST", "201"): "0+100x260"},
    ),
    Objective(
        name="freshness",
        alert="ProvisioningIsStale",
        target=0.95,
        errors="avg_over_time(slo:freshness:stalled[WINDOW])",
        promise="95 % of connected tenants had a good request in the last two hours.",
        meaning="Many tenants at once have heard nothing from their identity providers: seldom their fault, all at the same time.",
        look=(
            "Provisioning dashboard: since when; whether requests still arrive at all (Overview).",
            "DNS, certificate and load balancer: ask for the address of one tenant from outside.",
            "The status page of the identity provider that most of them use.",
        ),
        cure=("If requests do not arrive: mend the way to the service. Providers go on by themselves where they stopped.",),
        spoils={
            'rollhouse_tenants{state="healthy"}': "10+0x260",
            'rollhouse_tenants{state="stalled"}': "90+0x260",
            'rollhouse_tenants{state="failing"}': "0+0x260",
            'rollhouse_tenants{state="unused"}': "5+0x260",
        },
        keeps={
            'rollhouse_tenants{state="healthy"}': "100+0x260",
            'rollhouse_tenants{state="stalled"}': "0+0x260",
            'rollhouse_tenants{state="failing"}': "0+0x260",
            'rollhouse_tenants{state="unused"}': "900+0x260",
        },
    ),
)

RECORDED = {
    "slo:freshness:stalled": (
        'sum(max by (state) (rollhouse_tenants{state="stalled"})) / clamp_min(sum(max by (state) (rollhouse_tenants{state=~"healthy|stalled|failing"})), 1)'
    ),
}
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


@dataclass(frozen=True)
class Burn:
    """When a budget of 30 days burns too fast: by `factor` in a long and in a short window, for so long."""

    long: str
    short: str
    factor: float
    lasting: str
    severity: Literal["page", "ticket"]


BURNS = (
    Burn("1h", "5m", 14.4, "2m", "page"),
    Burn("6h", "30m", 6, "15m", "page"),
    Burn("1d", "2h", 3, "1h", "ticket"),
    Burn("3d", "6h", 1, "3h", "ticket"),
)


@dataclass(frozen=True)
class Alert:
    """Something that is wrong by itself; `fires` and `quiet` are series of tests, one value a minute."""

    name: str
    expr: str
    lasting: str
    severity: Literal["page", "ticket"]
    summary: str
    meaning: str
    look: tuple[str, ...]
    cure: tuple[str, ...]
    fires: dict[str, str]
    quiet: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    """What the firing alert of the test carries beside its severity."""
    is_cause: bool = False
    """Whether it explains failed and slow requests, so that their burn does not page once more."""
    is_excused: bool = False
    """Whether such a cause explains this alert, too."""


ALERTS = (
    Alert(
        name="NothingServes",
        expr="absent(http_server_active_requests)",
        lasting="2m",
        severity="page",
        summary="No process of the service is scraped.",
        meaning="No process serves, or Prometheus does not find any.",
        look=("`kubectl get pods`: whether there are any, and why they do not start.", "Prometheus, Status, Targets: whether they are there and unreachable."),
        cure=(
            "Pods that wait or crash: `kubectl describe pod`, and the log of the one before (`--previous`).",
            "Targets missing: the ServiceMonitor and its labels.",
        ),
        fires={"up": "1+0x30"},
        quiet={"http_server_active_requests": "0+0x30"},
        is_cause=True,
    ),
    Alert(
        name="PostgresDown",
        expr='avg(rollhouse_dependency_up{dependency="postgres"}) < 0.5',
        lasting="1m",
        severity="page",
        summary="Postgres does not answer most processes.",
        meaning="Every SCIM request is answered with 503 and Retry-After. Identity providers try again; nothing is lost.",
        look=(
            "The log: request.unavailable and service.unready name the error.",
            "`rollhouse doctor` with the service's environment says what cannot be reached.",
        ),
        cure=(
            "A failover under way ends by itself within a minute: the service looks for the server that takes writes.",
            "Out of connections: lower ROLLHOUSE_DATABASE_CONNECTIONS times the number of pods under max_connections.",
            "Its disk is full: make room; the service goes on by itself.",
        ),
        fires={
            'rollhouse_dependency_up{dependency="postgres",instance="a"}': "0+0x30",
            'rollhouse_dependency_up{dependency="postgres",instance="b"}': "0+0x30",
        },
        quiet={
            'rollhouse_dependency_up{dependency="postgres",instance="a"}': "1+0x30",
            'rollhouse_dependency_up{dependency="postgres",instance="b"}': "0 1+0x29",
        },
        is_cause=True,
    ),
    Alert(
        name="RedisDown",
        expr='avg(rollhouse_dependency_up{dependency="redis"}) < 0.5',
        lasting="2m",
        severity="ticket",
        summary="Redis does not answer most processes; rate limits are counted by each process alone.",
        meaning="Requests go on. A tenant may make as many times its limit as there are processes, and live pages hear of other processes a second later.",
        look=("The log: limiter.degraded.", "`redis-cli -u URL ping` from a pod of the service."),
        cure=("Restart or fail over Redis. It holds counts of seconds only; nothing needs to be restored.",),
        fires={'rollhouse_dependency_up{dependency="redis"}': "0+0x30"},
        quiet={'rollhouse_dependency_up{dependency="redis"}': "1+0x30"},
    ),
    Alert(
        name="PoolExhausted",
        expr='sum(rate(rollhouse_refused_busy_total{line="connections"}[{5m}])) > 0.1',
        lasting="2m",
        severity="page",
        summary="Requests are refused because no connection to Postgres comes free.",
        meaning="Statements take longer than they are asked for. Requests that waited a second are answered with 503.",
        look=(
            "Dependencies dashboard: connections used against the most, who waits, time by operation.",
            "Postgres: `SELECT pid, state, wait_event_type, query_start FROM pg_stat_activity WHERE usename = 'rollhouse_app' ORDER BY query_start`.",
        ),
        cure=(
            "One old transaction that holds a lock (a migration, somebody's console): end it with `pg_terminate_backend(pid)`.",
            "Postgres at the limit of its CPU or disk: more of it helps, more connections do not.",
        ),
        fires={'rollhouse_refused_busy_total{line="connections"}': "0+60x30"},
        quiet={'rollhouse_refused_busy_total{line="connections"}': "7+0x30", 'rollhouse_refused_busy_total{line="in_flight"}': "0+60x30"},
        is_cause=True,
    ),
    Alert(
        name="MigrationsPending",
        expr="max(rollhouse_migrations_pending) == 1",
        lasting="5m",
        severity="page",
        summary="A process waits for migrations that have not been run.",
        meaning="Processes of the new release refuse SCIM with 503 until the schema is theirs; those of the old one go on.",
        look=("The log: service.unverified names both revisions.", "`kubectl get jobs`: whether the migration's job failed, and its log."),
        cure=("Run `rollhouse migrate` as rollhouse_migrator, or let the job run again. It can be run twice and takes no long locks.",),
        fires={"rollhouse_migrations_pending": "1+0x30"},
        quiet={"rollhouse_migrations_pending": "0+0x30"},
        is_cause=True,
    ),
    Alert(
        name="HotTenant",
        expr='sum by (tenant) (rate(rollhouse_tenant_requests_total{outcome="throttled"}[{5m}])) > 1',
        lasting="10m",
        severity="ticket",
        summary="{{ $labels.tenant }} has been over its limit for a while.",
        meaning="The tenant's requests beyond its limit are answered with 429. No other tenant feels it; its own cycles take longer.",
        look=("Tenant dashboard of that tenant: since when, how far over.", "The tenant's Activity page: which client sends, and what."),
        cure=(
            "A first cycle of a large directory: it ends by itself. Raise the limit for a day if it is in a hurry (`rollhouse tenant set-limit`).",
            "A client in a loop: tell the customer, with the link to a request of it.",
        ),
        fires={'rollhouse_tenant_requests_total{tenant="acme",outcome="throttled"}': "0+600x30"},
        quiet={
            'rollhouse_tenant_requests_total{tenant="acme",outcome="throttled"}': "0+6x30",
            'rollhouse_tenant_requests_total{tenant="acme",outcome="success"}': "0+900x30",
        },
        labels={"tenant": "acme"},
    ),
    Alert(
        name="SecretExpires",
        expr="max by (tenant) (rollhouse_secret_expiry_timestamp_seconds) - time() < 7 * 86400",
        lasting="10m",
        severity="ticket",
        summary="The secret of {{ $labels.tenant }} ends within seven days.",
        meaning="When it ends the identity provider gets 401 and stops provisioning; Entra ID puts the connection into quarantine.",
        look=("The tenant's Integrations page: which secret, and whether a newer one is in use already.",),
        cure=("Exchange it: generate a new one there, let the customer enter it, revoke the old one when its bar stays empty.",),
        fires={'rollhouse_secret_expiry_timestamp_seconds{tenant="acme"}': "86400+0x30"},
        quiet={'rollhouse_secret_expiry_timestamp_seconds{tenant="acme"}': "864000+0x30"},
        labels={"tenant": "acme"},
    ),
    Alert(
        name="TenantStalled",
        expr="max by (tenant) (rollhouse_tenant_stalled_seconds) > 7200",
        lasting="15m",
        severity="ticket",
        summary="{{ $labels.tenant }} has heard nothing from its identity provider for two hours.",
        meaning="The provider comes every 40 minutes by itself: three cycles are missing. New people wait, and those who left keep their accounts.",
        look=("The tenant's Health and Activity pages: what came last, and whether it failed.",),
        cure=(
            "The last requests failed: their pages say why, and what to do at the provider.",
            "Nothing came at all: provisioning is off, paused or in quarantine at the provider; tell the customer.",
        ),
        fires={'rollhouse_tenant_stalled_seconds{tenant="acme"}': "7300+60x30"},
        quiet={'rollhouse_tenant_stalled_seconds{tenant="acme"}': "7000+0x30"},
        labels={"tenant": "acme"},
    ),
    Alert(
        name="AuditSealsLag",
        expr="max(rollhouse_audit_seal_lag_seconds) > 300",
        lasting="10m",
        severity="ticket",
        summary="Rows of the audit wait to be sealed.",
        meaning="The audit is written; what is not sealed yet could be changed without a trace by whoever owns the database.",
        look=("The worker's log: worker.job_failed with the job seal_audit.", "CPU of the worker: one seals several thousand rows a second."),
        cure=("The key is missing or another: give the worker ROLLHOUSE_AUDIT_KEY.", "More rows than one worker seals: run another; they share the work."),
        fires={"rollhouse_audit_seal_lag_seconds": "600+60x30"},
        quiet={"rollhouse_audit_seal_lag_seconds": "30+0x30"},
        is_excused=True,
    ),
    Alert(
        name="RequestLogDrops",
        expr='sum(rate(rollhouse_request_log_dropped_total{bound=~"queue|database|fault"}[{5m}])) > 0',
        lasting="5m",
        severity="ticket",
        summary="Requests are missing in the request log.",
        meaning="They were served; the pages of Activity do not show them, and health may miss a failure.",
        look=("Dependencies dashboard: entries that wait. The log: request_log.not_written with its cause.",),
        cure=(
            "Bound queue: more requests than one process can log; add processes.",
            "Bound database: Postgres refuses the rows; see its disk, and `rollhouse doctor`.",
        ),
        fires={'rollhouse_request_log_dropped_total{bound="queue"}': "0+10x30"},
        quiet={'rollhouse_request_log_dropped_total{bound="refused"}': "0+10x30", 'rollhouse_request_log_dropped_total{bound="queue"}': "5+0x30"},
        is_excused=True,
    ),
    Alert(
        name="WorkerSilent",
        expr='(time() - max(rollhouse_job_last_success_timestamp_seconds{worker_job="seal_audit"}) > 300)'
        " or absent(rollhouse_job_last_success_timestamp_seconds)",
        lasting="10m",
        severity="ticket",
        summary="No worker has done its work for five minutes.",
        meaning="Nothing is sealed, purged, erased or told by mail; identity providers notice nothing.",
        look=("`kubectl get pods` for the worker; its log: worker.job_failed names the job and the cause.",),
        cure=("Not there: `kubectl rollout restart` its Deployment.", "There and failing: Postgres is away, or the audit's key is missing."),
        fires={'rollhouse_job_last_success_timestamp_seconds{worker_job="seal_audit"}': "0+0x30"},
        quiet={'rollhouse_job_last_success_timestamp_seconds{worker_job="seal_audit"}': "0+60x30"},
        is_excused=True,
    ),
    Alert(
        name="EventLoopLags",
        expr="histogram_quantile(0.99, sum by (instance, le) (rate(rollhouse_event_loop_lag_seconds_bucket[{5m}]))) > 0.25",
        lasting="10m",
        severity="ticket",
        summary="The process {{ $labels.instance }} is late with everything.",
        meaning="It has more to do than one CPU can, or something in it holds the CPU for long.",
        look=("Dependencies dashboard: CPU of that process; whether the others do as much.",),
        cure=("All are busy: add processes. One is: end it; the others take over.",),
        fires={
            'rollhouse_event_loop_lag_seconds_bucket{instance="a",le="0.25"}': "0+10x30",
            'rollhouse_event_loop_lag_seconds_bucket{instance="a",le="0.5"}': "0+240x30",
            'rollhouse_event_loop_lag_seconds_bucket{instance="a",le="+Inf"}': "0+240x30",
        },
        quiet={
            'rollhouse_event_loop_lag_seconds_bucket{instance="a",le="0.25"}': "0+240x30",
            'rollhouse_event_loop_lag_seconds_bucket{instance="a",le="0.5"}': "0+240x30",
            'rollhouse_event_loop_lag_seconds_bucket{instance="a",le="+Inf"}': "0+240x30",
        },
        labels={"instance": "a"},
    ),
)
