"""The Grafana dashboards as code: what they show, in rows of panels; each query names the metrics of the service alone."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from grafana_foundation_sdk.builders import bargauge, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, DatasourceVariable, QueryVariable, Row
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardLinkType, DataSourceRef, VariableRefresh, VariableSort
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from rules import sli
from spec import OBJECTIVES, SCIM

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "rollhouse"
RATE = "$__rate_interval"
SECONDS = "http_server_request_duration_seconds"
COLUMNS, HEIGHT = 24, 7

Kind = Literal["lines", "number", "table", "bars"]


@dataclass(frozen=True)
class Query:
    """What is asked, and how its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One picture: what it shows in a title and a sentence, the unit of its values (Grafana's name), and its queries."""

    title: str
    says: str
    unit: str
    queries: tuple[Query, ...]
    kind: Kind = "lines"


@dataclass(frozen=True)
class Board:
    """One dashboard in rows; `tenant` says whether it has a choice of tenants."""

    uid: str
    title: str
    says: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    has_tenant: bool = False


def quantiles(selected: str) -> tuple[Query, ...]:
    """The median and the 95th and 99th percentile of requests."""
    return tuple(Query(quantile(SECONDS, selected, part=part), f"p{round(part * 100)}") for part in (0.5, 0.95, 0.99))


def quantile(metric: str, selected: str = "", *, part: float = 0.99, by: str = "") -> str:
    """A percentile of a histogram, over all processes or by a label."""
    group = f"le, {by}" if by else "le"
    return f"histogram_quantile({part}, sum by ({group}) (rate({metric}_bucket{{{selected}}}[{RATE}])))"


def share(metric: str, selected: str, of: str = "") -> str:
    """Which share of what is counted under `of` carries these labels, too."""
    return f"{rate(metric, selected)} / {rate(metric, of)}"


def rate(metric: str, selected: str = "", *, by: str = "") -> str:
    """How often something happens in a second, summed over all processes."""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{selected}}}[{RATE}]))"


BOARDS = (
    Board(
        "rollhouse-overview",
        "Rollhouse / Overview",
        "Requests, errors and durations, and what is left of the promises.",
        (
            (
                "Promises",
                tuple(
                    Panel(
                        one.name.replace("_", " "),
                        f"{one.promise} What is kept now, over the last hour.",
                        "percentunit",
                        (Query(f"1 - {sli(one, '1h')}", one.name),),
                        "number",
                    )
                    for one in OBJECTIVES
                ),
            ),
            (
                "Requests",
                (
                    Panel(
                        "Requests",
                        "Requests of identity providers by method.",
                        "reqps",
                        (Query(rate(f"{SECONDS}_count", SCIM, by="http_request_method"), "{{http_request_method}}"),),
                    ),
                    Panel("Under way", "Requests that are being answered.", "short", (Query("sum(http_server_active_requests)", "requests"),)),
                    Panel(
                        "Everything else",
                        "Pages, the admin API, probes, and paths that do not exist.",
                        "reqps",
                        (Query(rate(f"{SECONDS}_count", 'http_route!~"/t/.+"', by="http_route"), "{{http_route}}"),),
                    ),
                ),
            ),
            (
                "Errors",
                (
                    Panel(
                        "By status",
                        "Answers of 400 and more to identity providers.",
                        "reqps",
                        (
                            Query(
                                rate(f"{SECONDS}_count", f'{SCIM},http_response_status_code=~"[45].."', by="http_response_status_code"),
                                "{{http_response_status_code}}",
                            ),
                        ),
                    ),
                    Panel(
                        "Refused: over a limit", "Requests beyond a tenant's own limit (429).", "reqps", (Query(rate("rollhouse_rate_limited_total"), "429"),)
                    ),
                    Panel(
                        "Refused: busy",
                        "Statements and requests that found no room.",
                        "reqps",
                        (Query(rate("rollhouse_refused_busy_total", by="line"), "{{line}}"),),
                    ),
                ),
            ),
            (
                "Durations",
                (
                    Panel("Reads", "Good reads of identity providers.", "s", quantiles(f'{SCIM},http_request_method="GET",http_response_status_code=~"2.."')),
                    Panel(
                        "Writes", "Good writes of identity providers.", "s", quantiles(f'{SCIM},http_request_method!="GET",http_response_status_code=~"2.."')
                    ),
                    Panel(
                        "Error budgets",
                        "How fast each budget of 30 days burns: 1 is as fast as allowed.",
                        "short",
                        tuple(Query(f"{sli(one, '1h')} / {round(1 - one.target, 4)}", one.name) for one in OBJECTIVES),
                    ),
                ),
            ),
        ),
    ),
    Board(
        "rollhouse-tenant",
        "Rollhouse / Tenant",
        "One tenant: its requests by outcome and its last success. Tenants that are not among the busiest stand under _other.",
        (
            (
                "Requests",
                (
                    Panel(
                        "Requests by outcome",
                        "Requests with a right secret.",
                        "reqps",
                        (Query(rate("rollhouse_tenant_requests_total", 'tenant=~"$tenant"', by="outcome"), "{{outcome}}"),),
                    ),
                    Panel(
                        "Refused: over the limit",
                        "Its requests beyond its limit.",
                        "reqps",
                        (Query(rate("rollhouse_tenant_requests_total", 'tenant=~"$tenant",outcome="throttled"', by="tenant"), "{{tenant}}"),),
                    ),
                    Panel(
                        "Share of failures",
                        "Requests that were answered with 400 or more.",
                        "percentunit",
                        (
                            Query(
                                "1 - " + share("rollhouse_tenant_requests_total", 'tenant=~"$tenant",outcome="success"', 'tenant=~"$tenant"'),
                                "failures",
                            ),
                        ),
                    ),
                ),
            ),
            (
                "Provisioning",
                (
                    Panel(
                        "Last success",
                        "How long ago a request succeeded.",
                        "s",
                        (Query('time() - max by (tenant) (rollhouse_tenant_last_success_timestamp_seconds{tenant=~"$tenant"})', "{{tenant}}"),),
                        "number",
                    ),
                    Panel(
                        "Requests so far",
                        "Since the processes began.",
                        "short",
                        (Query('sum by (tenant, outcome) (rollhouse_tenant_requests_total{tenant=~"$tenant"})', "{{tenant}} {{outcome}}"),),
                        "bars",
                    ),
                    Panel(
                        "Tolerances",
                        "What of its client's dialect is forgiven (docs/tolerances.md).",
                        "reqps",
                        (Query(rate("rollhouse_tenant_tolerances_total", 'tenant=~"$tenant"', by="tolerance"), "{{tolerance}}"),),
                    ),
                ),
            ),
        ),
        has_tenant=True,
    ),
    Board(
        "rollhouse-top-tenants",
        "Rollhouse / Top tenants",
        "Who makes the most requests, who fails most, who is over its limit.",
        (
            (
                "Now",
                (
                    Panel(
                        "Busiest",
                        "The ten tenants with the most requests.",
                        "reqps",
                        (Query(f"topk(10, {rate('rollhouse_tenant_requests_total', by='tenant')})", "{{tenant}}"),),
                        "bars",
                    ),
                    Panel(
                        "Failing most",
                        "The ten tenants with the most answers of 400 and more.",
                        "reqps",
                        (
                            Query(
                                "topk(10, " + rate("rollhouse_tenant_requests_total", 'outcome=~"client_error|server_error"', by="tenant") + ")", "{{tenant}}"
                            ),
                        ),
                        "bars",
                    ),
                    Panel(
                        "Over the limit",
                        "The ten tenants with the most requests beyond their limits.",
                        "reqps",
                        (Query("topk(10, " + rate("rollhouse_tenant_requests_total", 'outcome="throttled"', by="tenant") + ")", "{{tenant}}"),),
                        "bars",
                    ),
                ),
            ),
            (
                "Over time",
                (
                    Panel(
                        "Busiest",
                        "The five busiest at each moment.",
                        "reqps",
                        (Query(f"topk(5, {rate('rollhouse_tenant_requests_total', by='tenant')})", "{{tenant}}"),),
                    ),
                    Panel(
                        "Silent longest",
                        "Seconds since the last success, of those that have stalled.",
                        "s",
                        (Query("topk(10, max by (tenant) (rollhouse_tenant_stalled_seconds))", "{{tenant}}"),),
                        "table",
                    ),
                    Panel(
                        "Series in use",
                        "Tenants with series of their own.",
                        "short",
                        (Query("count(count by (tenant) (rollhouse_tenant_requests_total))", "tenants"),),
                        "number",
                    ),
                ),
            ),
        ),
    ),
    Board(
        "rollhouse-dependencies",
        "Rollhouse / Dependencies",
        "Postgres, Redis and the processes themselves.",
        (
            (
                "Postgres",
                (
                    Panel(
                        "Statements",
                        "By operation.",
                        "ops",
                        (
                            Query(
                                rate("db_client_operation_duration_seconds_count", 'db_system_name="postgresql"', by="db_operation_name"),
                                "{{db_operation_name}}",
                            ),
                        ),
                    ),
                    Panel(
                        "Time of statements",
                        "The 99th percentile by operation.",
                        "s",
                        (
                            Query(
                                quantile("db_client_operation_duration_seconds", 'db_system_name="postgresql"', by="db_operation_name"),
                                "{{db_operation_name}}",
                            ),
                        ),
                    ),
                    Panel(
                        "Errors",
                        "Statements that failed, by SQLSTATE.",
                        "ops",
                        (
                            Query(
                                rate("db_client_operation_duration_seconds_count", 'db_system_name="postgresql",error_type!=""', by="error_type"),
                                "{{error_type}}",
                            ),
                        ),
                    ),
                    Panel(
                        "Connections",
                        "At work and idle, and the most there may be.",
                        "short",
                        (
                            Query("sum by (db_client_connection_state) (db_client_connection_count)", "{{db_client_connection_state}}"),
                            Query("sum(db_client_connection_max)", "most"),
                        ),
                    ),
                    Panel("Waiting", "Who waits for a connection.", "short", (Query("sum(db_client_connection_pending_requests)", "waiting"),)),
                    Panel(
                        "Time waited",
                        "The 99th percentile of those who had to wait.",
                        "s",
                        (Query(quantile("db_client_connection_wait_time_seconds"), "p99"),),
                    ),
                ),
            ),
            (
                "Redis",
                (
                    Panel(
                        "Commands",
                        "By whether they failed.",
                        "ops",
                        (Query(rate("db_client_operation_duration_seconds_count", 'db_system_name="redis"', by="error_type"), "{{error_type}}"),),
                    ),
                    Panel(
                        "Time of commands",
                        "The 99th percentile.",
                        "s",
                        (
                            Query(
                                quantile("db_client_operation_duration_seconds", 'db_system_name="redis"'),
                                "p99",
                            ),
                        ),
                    ),
                    Panel("Limits counted alone", "Processes that cannot ask Redis.", "short", (Query("sum(rollhouse_limiter_degraded)", "processes"),)),
                ),
            ),
            (
                "Processes",
                (
                    Panel("CPU", "Seconds of CPU in a second.", "short", (Query(f"rate(process_cpu_seconds_total[{RATE}])", "{{instance}}"),)),
                    Panel("Memory", "Resident memory.", "bytes", (Query("process_resident_memory_bytes", "{{instance}}"),)),
                    Panel(
                        "Event loop",
                        "The 99th percentile of its lag.",
                        "s",
                        (Query(quantile("rollhouse_event_loop_lag_seconds", by="instance"), "{{instance}}"),),
                    ),
                    Panel(
                        "Credentials known",
                        "Share of look-ups that needed no statement.",
                        "percentunit",
                        (
                            Query(
                                share("rollhouse_credential_lookups_total", 'result="hit"'),
                                "known",
                            ),
                        ),
                    ),
                    Panel("Request log", "Entries that wait to be written.", "short", (Query("sum(rollhouse_request_log_waiting)", "waiting"),)),
                    Panel(
                        "Up",
                        "Whether Postgres and Redis answer each process.",
                        "short",
                        (Query("min by (dependency) (rollhouse_dependency_up)", "{{dependency}}"),),
                    ),
                ),
            ),
        ),
    ),
    Board(
        "rollhouse-provisioning",
        "Rollhouse / Provisioning",
        "Whether tenants hear from their identity providers, and what their clients need forgiven.",
        (
            (
                "Tenants",
                (
                    Panel(
                        "By state", "Active tenants by the state of their provisioning.", "short", (Query("max by (state) (rollhouse_tenants)", "{{state}}"),)
                    ),
                    Panel(
                        "Cycles",
                        "Active tenants whose last cycle began within so many minutes; Entra ID begins one every 40.",
                        "short",
                        (Query("max by (minutes) (rollhouse_cycles_begun)", "{{minutes}} min"),),
                    ),
                    Panel("Stalled", "Share of connected tenants that were silent for two hours.", "percentunit", (Query("slo:freshness:stalled", "stalled"),)),
                    Panel(
                        "Secrets that end",
                        "Time until a tenant's first secret ends.",
                        "s",
                        (Query("sort(min by (tenant) (rollhouse_secret_expiry_timestamp_seconds) - time())", "{{tenant}}"),),
                        "table",
                    ),
                ),
            ),
            (
                "Changes",
                (
                    Panel(
                        "Writes",
                        "Good writes by method.",
                        "reqps",
                        (
                            Query(
                                rate(f"{SECONDS}_count", f'{SCIM},http_request_method!="GET",http_response_status_code=~"2.."', by="http_request_method"),
                                "{{http_request_method}}",
                            ),
                        ),
                    ),
                    Panel(
                        "Tolerances",
                        "Requests that needed one, by its name (docs/tolerances.md).",
                        "reqps",
                        (Query(rate("rollhouse_tolerances_total", by="tolerance"), "{{tolerance}}"),),
                    ),
                    Panel("Audit", "Age of the oldest row that is not sealed.", "s", (Query("max(rollhouse_audit_seal_lag_seconds)", "lag"),)),
                    Panel(
                        "Work in the background",
                        "Seconds since each job last ended well.",
                        "s",
                        (Query("time() - max by (worker_job) (rollhouse_job_last_success_timestamp_seconds)", "{{worker_job}}"),),
                        "table",
                    ),
                ),
            ),
        ),
    ),
)


def _built(panel: Panel, number: int, width: int) -> Any:
    maker = {"lines": timeseries, "number": stat, "table": table, "bars": bargauge}[panel.kind]
    made = maker.Panel().title(panel.title).description(panel.says).unit(panel.unit).datasource(SOURCE).id(number).span(width).height(HEIGHT)
    for at, query in enumerate(panel.queries):
        target = Dataquery().expr(query.expr).legend_format(query.legend).ref_id(chr(ord("A") + at)).datasource(SOURCE)
        if panel.kind == "lines":
            target = target.range().exemplar(f"{SECONDS}_bucket" in query.expr)
        else:
            target = target.instant().format(PromQueryFormat.TABLE if panel.kind == "table" else PromQueryFormat.TIME_SERIES)
        made = made.with_target(target)
    return made


def _board(board: Board) -> Any:
    made = Dashboard(board.title).uid(board.uid).description(board.says).tags([TAG]).refresh("30s").time("now-1h", "now").readonly()
    made = made.link(DashboardLink("Rollhouse").type(DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True).include_vars(True).keep_time(True))
    made = made.with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
    if board.has_tenant:
        tenants = (
            QueryVariable("tenant")
            .label("Tenant")
            .datasource(SOURCE)
            .query({"query": "label_values(rollhouse_tenant_requests_total, tenant)", "refId": "tenant"})
        )
        made = made.with_variable(
            tenants.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC).multi(True).include_all(True).all_value(".+")
        )
    number = 0
    for title, panels in board.rows:
        made = made.with_row(Row(title))
        for panel in panels:
            number += 1
            made = made.with_panel(_built(panel, number, COLUMNS // (4 if len(panels) % 4 == 0 else 3)))
    return made.build()


def dashboards() -> dict[str, Any]:
    """Each dashboard as Grafana's JSON, by its uid."""
    return {board.uid: json.loads(json.dumps(_board(board), cls=JSONEncoder)) for board in BOARDS}
