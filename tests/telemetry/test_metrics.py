"""What a scrape shows: names by convention, every request counted, tenants within their bound, and never in a histogram."""

import asyncio
import re
import time
import urllib.request

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.openmetrics.exposition import generate_latest

from rollhouse.database.pool import operation_of
from rollhouse.scim.tolerances import Tolerance
from rollhouse.telemetry.metrics import REGISTRY
from rollhouse.telemetry.traffic import OTHER, SLOTS, TOLERANCE_SERIES, Traffic
from tests.servers.service import ScimClient, Serving

SERIES_OF_A_PROCESS = 20_000


def scraped(serving: Serving) -> str:
    asked = urllib.request.Request(serving.metrics_url, headers={"accept": "application/openmetrics-text"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return answer.read().decode()


def value(text: str, name: str, **labels: str) -> float:
    """The sum of the samples of that name that carry the labels."""
    total = 0.0
    for line in text.splitlines():
        if line.startswith((name + "{", name + " ")) and all(f'{label}="{wanted}"' in line for label, wanted in labels.items()):
            total += float(line.partition(" # ")[0].rpartition(" ")[2])
    return total


async def test_every_request_is_counted_also_those_that_nothing_answers(acme: ScimClient, service: Serving) -> None:
    scim = "/t/{tenant}/scim/v2/{endpoint}"
    count = "http_server_request_duration_seconds_count"
    before = scraped(service)
    await acme.get("/Users")
    await acme.get("/Users", headers={"authorization": "Bearer wrong"})
    await acme.put("/Users", {})
    await acme.http.get(f"{service.url}/nowhere/at/all")
    await acme.get("/Users/none")
    after = scraped(service)

    def grown(**labels: str) -> float:
        return value(after, count, **labels) - value(before, count, **labels)

    assert grown(http_route=scim, http_request_method="GET", http_response_status_code="200") == 1
    assert grown(http_route=scim, http_response_status_code="401") == 1
    assert grown(http_response_status_code="405") == 1
    assert grown(http_route="unmatched", http_response_status_code="404") == 1
    assert grown(http_route=scim + "/{resource_id}", http_response_status_code="404") == 1
    slug = acme.base_url.split("/")[4]
    assert value(after, "rollhouse_tenant_requests_total", tenant=slug, outcome="success") == 1
    assert value(after, "rollhouse_tenant_requests_total", tenant=slug, outcome="client_error") == 1, "what came without a right secret is nobody's"
    assert abs(value(after, "rollhouse_tenant_last_success_timestamp_seconds", tenant=slug) - time.time()) < 60


async def test_requests_share_statements_where_the_tenant_has_more_of_them_than_connections(acme: ScimClient, service: Serving) -> None:
    """One after the other each has its own (docs/decisions/0015-gathered-statements.md)."""
    user = await acme.create_user(userName="sought")

    def statements() -> float:
        return value(scraped(service), "db_client_operation_duration_seconds_count", db_operation_name="get_resources")

    before = statements()
    for _ in range(10):
        await acme.get_user(user["id"])
    assert statements() - before == 10
    before = statements()
    for _ in range(5):
        found = await acme.get_at_once(f"/Users/{user['id']}", [{}] * 16)
        assert [one["id"] for one in found] == [user["id"]] * 16
    assert statements() - before < 60, "80 requests, each with a statement of its own"


async def test_what_it_stands_on_is_measured(acme: ScimClient, service: Serving) -> None:
    user = await acme.create_user(userName="measured")
    await acme.get_user(user["id"])
    await asyncio.sleep(0.6)  # the event loop is looked at four times a second
    text = scraped(service)
    assert value(text, "db_client_operation_duration_seconds_count", db_system_name="postgresql", db_operation_name="get_resources", error_type="") >= 1
    assert value(text, "db_client_operation_duration_seconds_count", db_operation_name="create_resource") >= 1
    assert value(text, "db_client_connection_max") == 16
    assert value(text, "db_client_connection_count", db_client_connection_state="idle") >= 1
    assert value(text, "rollhouse_dependency_up", dependency="postgres") == 1
    assert value(text, "rollhouse_event_loop_lag_seconds_count") >= 1
    assert value(text, "rollhouse_credential_lookups_total", result="hit") >= 1
    assert value(text, "http_server_active_requests") == 0
    assert value(text, "rollhouse_build_info") == 1
    assert "_created" not in text
    assert text.endswith("# EOF\n")


def test_five_thousand_tenants_stay_within_the_budget() -> None:
    traffic = Traffic()
    registry = CollectorRegistry()
    registry.register(traffic)
    for number in range(5000):
        for status in (200, 404, 429, 500):
            traffic.count(f"tenant-{number}", status)
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    assert len(lines) == 5 * SLOTS + 4
    for number in range(5000):
        traffic.count(f"tenant-{number}", 200, list(Tolerance))
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    assert len(lines) == 5 * SLOTS + 4 + TOLERANCE_SERIES + len(Tolerance)
    # The other metrics of a process at their worst: each route with each method and each status that an answer can have.
    routes, methods, statuses, buckets = 60, 2, 6, 19
    assert len(lines) + routes * methods * statuses * buckets + 600 < SERIES_OF_A_PROCESS


def test_tolerances_are_counted_by_tenant() -> None:
    traffic = Traffic(slots=2)
    for slug in ("acme", "globex", "third"):
        traffic.count(slug, 200, ["op_case", "text_boolean"])
    traffic.count("acme", 200, ["op_case"])
    *_, tolerances = traffic.collect()
    found = {(sample.labels["tenant"], sample.labels["tolerance"]): sample.value for sample in tolerances.samples}
    assert found[("acme", "op_case")] == 2
    assert found[("globex", "text_boolean")] == found[(OTHER, "op_case")] == 1
    traffic.count("busy", 200)
    for _ in range(9):
        traffic.count("busy", 200, ["op_case"])
    traffic.rotate()
    assert traffic._tolerance_series == sum(len(one.tolerances) for one in traffic._named.values())


def test_no_histogram_knows_tenants_and_no_label_is_open() -> None:
    """By the labels that each is declared with: a histogram without samples here has them elsewhere."""
    histograms = [one for one in REGISTRY._collector_to_names if isinstance(one, Histogram)]
    assert len(histograms) >= 4
    for histogram in histograms:
        assert not {"tenant", "slug", "user", "request_id", "trace_id"} & set(histogram._labelnames), histogram._name
    names = {name for metric in REGISTRY.collect() for sample in metric.samples for name in sample.labels}
    assert "path" not in names
    assert "http_target" not in names


def test_the_busiest_tenants_take_the_places_of_the_quietest() -> None:
    traffic = Traffic(slots=3)
    for slug, times in (("quiet", 1), ("calm", 10), ("busy", 100), ("new", 30), ("newer", 3)):
        for _ in range(times):
            traffic.count(slug, 200)
    assert shown(traffic) == {("quiet", "success"): 1, ("calm", "success"): 10, ("busy", "success"): 100, (OTHER, "success"): 33}
    traffic.rotate()
    traffic.count("new", 429)
    traffic.count("quiet", 200)
    assert shown(traffic) == {("calm", "success"): 10, ("busy", "success"): 100, ("new", "throttled"): 1, (OTHER, "success"): 34}, "the others only ever grow"


def shown(traffic: Traffic) -> dict[tuple[str, str], float]:
    requests, *_ = traffic.collect()
    return {(sample.labels["tenant"], sample.labels["outcome"]): sample.value for sample in requests.samples}


def test_statements_are_called_by_what_they_do() -> None:
    named = {
        "SELECT * FROM rollhouse.get_resource($1, $2)": "get_resource",
        "SELECT rollhouse.delete_resource($1)": "delete_resource",
        "SELECT pepper_version, live FROM rollhouse.pepper_versions()": "pepper_versions",
        "SELECT r.id, r.document FROM (SELECT r.id FROM rollhouse.resources r) r": "SELECT resources",
        "UPDATE rollhouse.tenants SET name = $1": "UPDATE tenants",
        "SHOW server_version": "SHOW",
        "SELECT 1": "SELECT",
    }
    for sql, name in named.items():
        assert operation_of(sql) == name, sql
    assert all(re.fullmatch(r"[\w ]+", operation_of(sql)) for sql in named)
