"""The request log of a running service: what is in it, who sees it, what leaves it, and that it never slows or fails a request."""

import asyncio
import time
from random import choice
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from rollhouse.activity import health, request_log
from rollhouse.activity.entries import Entry
from rollhouse.activity.live import Live
from rollhouse.activity.request_log import REFUSED_PER_HOUR, WAITING_LIMIT, LoggedRequest, RequestLog, Wanted
from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.telemetry.metrics import REGISTRY
from rollhouse.tenancy import credentials
from rollhouse.tenancy.secrets import Peppers
from rollhouse.tenancy.tenants import Tenant, find_tenant
from tests.conftest import PEPPER, Cluster
from tests.servers.service import ScimClient, Serving


async def logged(database: Database, tenant_id: str | UUID, count: int, **wanted: object) -> list[LoggedRequest]:
    """The newest rows of the tenant, once there are so many."""
    deadline = time.monotonic() + 10
    while True:
        async with database.transaction(UUID(str(tenant_id))) as tx:
            found = await request_log.list_requests(tx, Wanted(**wanted))  # type: ignore[arg-type]
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)


SEARCH_URN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"


def entry(slug: str, **changed: object) -> Entry:
    usual = {
        "slug": slug,
        "request_id": "1",
        "method": "GET",
        "path": "/scim/v2/Users",
        "query": b"",
        "status": 200,
        "began": time.monotonic(),
        "seconds": 0.001,
        "credential_id": "01a21847-d5a4-789f-81f6-3429a6b52a1a",
    }
    return Entry(**(usual | changed))  # type: ignore[arg-type]


async def test_every_request_leaves_a_row_and_bodies_of_writes_and_failures_are_kept(acme: ScimClient, service_database: Database) -> None:
    user = await acme.create_user(userName="ann", password="t0p-secret", emails=[{"value": "ann@acme.example"}])
    await acme.get('/Users?filter=userName eq "ann"')
    await acme.get(f"/Users/{user['id']}")
    await acme.post("/Users", {"userName": "ANN"})
    await acme.patch_operations(f"/Users/{user['id']}", {"op": "Replace", "path": "active", "value": "False"})
    await acme.get("/Users/none")
    await acme.get("/Nowhere")
    await acme.request("POST", "/Users", content=b"{nothing")

    rows = list(reversed(await logged(service_database, acme.tenant_id, 8)))
    assert [(row.kind, row.status) for row in rows] == [
        ("created", 201), ("read", 200), ("read", 200), ("failed", 409), ("deactivated", 200), ("failed", 404), ("failed", 404), ("failed", 400)
    ]  # fmt: skip
    assert rows[1].query == 'filter=userName eq "ann"'
    assert [row.scim_type for row in rows] == [None, None, None, "uniqueness", None, None, None, "invalidSyntax"]
    assert {str(row.resource_id) for row in (rows[0], rows[2], rows[4])} == {user["id"]}
    assert all(row.credential_id is not None and row.microseconds > 0 and "httpx" in (row.user_agent or "") for row in rows)
    assert rows[4].tolerances
    async with service_database.transaction(UUID(acme.tenant_id)) as tx:
        bodies = [await request_log.find_request(tx, row.id) for row in rows]
    assert [(body is not None and body.request_body is not None, body is not None and body.response_body is not None) for body in bodies] == [
        (True, True), (False, False), (False, False), (True, True), (True, True), (False, False), (False, True), (True, True)
    ]  # fmt: skip
    assert "t0p-secret" not in str(bodies)
    assert rows[0].request_id


@pytest.mark.threat("T25")
@pytest.mark.threat("T27")
async def test_a_refused_secret_is_explained_by_its_shape_and_not_kept(
    acme: ScimClient, globex: ScimClient, service: Serving, service_database: Database
) -> None:
    tenant = await find_tenant(service_database, acme.base_url.split("/")[4])
    dead = await credentials.create_secret(service_database, Peppers.parse(PEPPER), tenant, cause=UNATTENDED)
    await credentials.revoke_secret(service_database, tenant, dead.minted.prefix, cause=UNATTENDED)
    secret = acme.secret
    sent = {
        "missing": "",
        "format": "Bearer hunter2-hunter2",
        "mistyped": f"Bearer {secret[:-8]}xxxxxxxx",
        "unknown": "",
        "revoked": f"Bearer {dead.minted.secret}",
        "other_connection": f"Bearer {globex.secret}",
    }
    unknown = await credentials.create_secret(service_database, Peppers.parse(PEPPER), tenant, cause=UNATTENDED)
    sent["unknown"] = f"Bearer {unknown.minted.secret}"
    admin = await asyncpg.connect(str(service.environment["ROLLHOUSE_DATABASE_URL"]).replace("rollhouse_app", "postgres", 1))
    await admin.execute("DELETE FROM rollhouse.credentials WHERE id = $1", unknown.id)
    await admin.close()
    answers = set()
    async with httpx.AsyncClient() as client:
        for value in sent.values():
            answers.add((await client.get(acme.base_url + "/Users", headers={"authorization": value} if value else {})).content)

    rows = list(reversed(await logged(service_database, acme.tenant_id, 6, kind="refused")))

    assert len(answers) == 1, "the answer says the same in every case"
    assert [row.reason for row in rows] == list(sent)
    assert [row.credential_id is not None for row in rows] == [False, False, False, False, True, False]
    async with service_database.transaction(UUID(acme.tenant_id)) as tx:
        everything = str([await tx.fetch("SELECT r::text FROM rollhouse.requests r")])
    for value in sent.values():
        assert not value or value[-30:] not in everything
    assert "hunter2" not in everything


@pytest.mark.threat("T01")
async def test_a_tenant_sees_its_own_rows_only(database: Database, tenant: Tenant, other_tenant: Tenant) -> None:
    log = RequestLog(database, Live(None), gap_seconds=300)
    log.note(entry(tenant.slug, request_body=b'{"userName":"ann"}', method="POST", status=201))
    log.note(entry("no-such-tenant"))
    log.note(entry("\x00"))
    await log.flush()

    async with database.transaction(other_tenant.id) as tx:
        assert await tx.fetch("SELECT FROM rollhouse.requests") == []
    assert len(await logged(database, tenant.id, 1)) == 1


async def test_what_waits_is_bounded_and_an_outage_drops_rows_not_requests(database: Database, tenant: Tenant) -> None:
    def dropped() -> dict[str, float]:
        return {bound: REGISTRY.get_sample_value("rollhouse_request_log_dropped_total", {"bound": bound}) or 0 for bound in ("queue", "refused", "database")}

    before = dropped()
    log = RequestLog(database, Live(None), gap_seconds=300)
    for _ in range(WAITING_LIMIT + 50):
        log.note(entry(tenant.slug, status=200))
    assert len(log._waiting) == WAITING_LIMIT
    refusing = RequestLog(database, Live(None), gap_seconds=300)
    for _ in range(REFUSED_PER_HOUR + 50):
        refusing.note(entry(tenant.slug, status=choice((401, 404, 405, 429)), credential_id=None))
    assert len(refusing._waiting) == REFUSED_PER_HOUR
    closed = Database("postgresql://nobody@127.0.0.1:9/none", connections=1)
    away = RequestLog(closed, Live(None), gap_seconds=300)
    for _ in range(3):
        away.note(entry(tenant.slug))
    await away.flush()
    assert not away._waiting
    assert {bound: count - before[bound] for bound, count in dropped().items()} == {"queue": 50, "refused": 50, "database": 3}
    assert REGISTRY.get_sample_value("rollhouse_request_log_waiting") == 3


async def test_bodies_that_wait_are_bounded_in_bytes(database: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_log, "BODY_BYTES_WAITING_LIMIT", 100)
    log = RequestLog(database, Live(None), gap_seconds=300)
    for _ in range(3):
        log.note(entry(tenant.slug, method="POST", status=201, request_body=b"{" + b" " * 58 + b"}"))
    await log.flush()
    rows = await logged(database, tenant.id, 3)
    async with database.transaction(tenant.id) as tx:
        bodies = [(await request_log.find_request(tx, row.id)).request_body for row in rows]  # type: ignore[union-attr]
    assert bodies.count(None) == 2
    assert log._body_bytes == 0


async def test_queries_that_wait_are_bounded_with_the_bodies(database: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_log, "BODY_BYTES_WAITING_LIMIT", 100)
    log = RequestLog(database, Live(None), gap_seconds=300)
    for _ in range(3):
        log.note(entry(tenant.slug, query=b"count=1&" + b"x" * 52))
    assert [len(one.query) for one in log._waiting] == [60, 0, 0]
    await log.flush()
    assert log._body_bytes == 0


async def test_the_values_of_a_deleted_person_leave_the_log_and_the_headlines_stay(
    embedded_cluster: Cluster, acme: ScimClient, service_database: Database
) -> None:
    user = await acme.create_user(userName="Leaver@acme.example", displayName="Lea Ver")
    await acme.get('/Users?filter=userName eq "leaver@ACME.example"')
    await acme.post("/Users", {"userName": "leaver@acme.example"})
    await acme.post("/Users", {"username": "leaver@acme.example"})
    await acme.post("/Users", {"displayName": "Lea Ver", "emails": [{"value": "leaver@acme.example"}]})
    await acme.get('/Users?filter=displayName sw "Lea Ver"')
    await acme.get("/Users/leaver@acme.example")
    await acme.post("/Users/.search", {"schemas": [SEARCH_URN], "filter": 'userName eq "leaver@acme.example"'})
    await acme.post("/Users/.search", {"schemas": [SEARCH_URN], "filter": 'name.familyName sw "Leaver"'})
    renamed = await acme.create_user(userName="Leaver.born@acme.example")
    await acme.get('/Users?filter=userName eq "leaver.BORN@acme.example"')
    await acme.patch_operations(f"/Users/{renamed['id']}", {"op": "replace", "path": "userName", "value": "other@acme.example"})
    await acme.delete(f"/Users/{renamed['id']}")
    stays = await acme.create_user(userName="stays@acme.example")
    await acme.delete(f"/Users/{user['id']}")
    count = len(await logged(service_database, acme.tenant_id, 15))
    admin = await asyncpg.connect(embedded_cluster.superuser_url)
    assert await admin.execute("UPDATE rollhouse.erasures SET at = at - interval '2 minutes' WHERE tenant_id = $1", UUID(acme.tenant_id)) == "UPDATE 2"
    await admin.execute("UPDATE rollhouse.requests SET at = at - interval '2 minutes' WHERE tenant_id = $1", UUID(acme.tenant_id))
    await admin.close()

    assert (await service_database.query("SELECT rollhouse.erase_requests(100)"))[0][0] >= 1
    while (await service_database.query("SELECT rollhouse.erase_requests(100)"))[0][0]:
        continue  # what other tests of this run left to erase

    async with service_database.transaction(UUID(acme.tenant_id)) as tx:
        kept = [str(row[0]) for row in await tx.fetch("SELECT r::text FROM rollhouse.requests r")]
        left = await tx.fetch("SELECT FROM rollhouse.erasures")
    assert len(kept) == count == 15
    assert left == []
    assert not any("eaver" in row or "Lea Ver" in row for row in kept)
    assert any(stays["userName"] in row for row in kept)


async def test_a_row_that_cannot_be_stored_costs_no_other_row(database: Database, tenant: Tenant) -> None:
    log = RequestLog(database, Live(None), gap_seconds=300)
    for number in range(7):
        log.note(entry(tenant.slug, request_id="\x00" if number == 3 else str(number)))
    await log.flush()

    assert {row.request_id for row in await logged(database, tenant.id, 6)} == {"0", "1", "2", "4", "5", "6"}


@pytest.mark.threat("T24")
async def test_what_anybody_can_send_says_nothing_of_the_provider(database: Database, tenant: Tenant) -> None:
    log = RequestLog(database, Live(None), gap_seconds=300)
    log.note(entry(tenant.slug))
    for number in range(40):
        word = chr(ord("a") + number % 26) * 4
        log.note(entry(tenant.slug, credential_id=None, status=404, path=f"/scim/v2/{word}", method=word.upper()))
    log.note(entry(tenant.slug, credential_id=None, status=200, method="POST", path="/oauth2/token"))
    await log.flush()
    found = await health.health_of(database, tenant.id)
    rows = await logged(database, tenant.id, 41)

    assert (found.state(), found.failures_since_success, found.last_failure, found.first_write) == ("healthy", 0, None, None)
    assert {row.kind for row in rows[:-1]} == {"refused"}
    assert len(rows) == 41
    assert len(await health.failures_of(database, tenant.id, rows[-1].at)) == 1


async def test_days_are_made_ahead_and_dropped_past_their_time(database: Database, cluster: Cluster) -> None:
    admin = await asyncpg.connect(cluster.superuser_url)
    named = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'rollhouse.requests'::regclass"
    try:
        await request_log.keep_days(database, kept_days=30)
        assert await admin.fetchval(named) == 4
        assert await request_log.keep_days(database, kept_days=30) == 0
        old = "requests_20200101"
        await admin.execute(f"CREATE TABLE rollhouse.{old} PARTITION OF rollhouse.requests FOR VALUES FROM ('2020-01-01Z') TO ('2020-01-02Z')")
        await admin.execute(f"ALTER TABLE rollhouse.{old} OWNER TO rollhouse_owner")
        assert await request_log.keep_days(database, kept_days=10_000) == 0
        assert await request_log.keep_days(database, kept_days=2000) == 1, "past its time a day goes"
        await admin.execute(f"CREATE TABLE rollhouse.{old} PARTITION OF rollhouse.requests FOR VALUES FROM ('2020-01-01Z') TO ('2020-01-02Z')")
        await admin.execute(f"ALTER TABLE rollhouse.{old} OWNER TO rollhouse_owner")
        assert await request_log.keep_days(database, kept_days=10_000, kept_bytes=0) == 1, "over its size the oldest day goes, today's never"
        assert await admin.fetchval(named) == 4
    finally:
        await admin.close()


async def test_cycles_are_told_by_pauses_and_health_by_outcomes(database: Database, tenant: Tenant) -> None:
    log = RequestLog(database, Live(None), gap_seconds=0.2)

    async def send(*statuses: tuple[str, int]) -> health.Health:
        for method, status in statuses:
            log.note(entry(tenant.slug, method=method, status=status, user_agent=b"Entra"))
        await log.flush()
        return await health.health_of(database, tenant.id)

    assert (await health.health_of(database, tenant.id)).state() == "unused"
    tested = await send(("GET", 200))
    assert (tested.cycles, tested.state(), tested.client) == (0, "healthy", "Entra")
    first = await send(("GET", 200), ("POST", 201))
    assert (first.cycles, first.first_write is not None) == (1, True)
    assert (await send(("GET", 200))).cycles == 1
    await asyncio.sleep(0.3)
    second = await send(("GET", 200))
    assert (second.cycles, second.previous_cycle_began) == (2, first.cycle_began)
    assert second.next_cycle is not None
    assert second.cycle_began is not None
    assert second.next_cycle > second.cycle_began
    assert (await send(*[("POST", 409)] * 5, ("GET", 200), ("POST", 409))).failures_since_success == 1, "what failed before a success is over"
    assert (await send(("GET", 200))).failures_since_success == 0
    failing = await send(*[("POST", 409)] * 5)
    assert (failing.failures_since_success, failing.state()) == (5, "failing")
    assert (await send(("GET", 200))).state() == "healthy"
    failures = await health.failures_of(database, tenant.id, tested.first_request)  # type: ignore[arg-type]
    assert [(one.fingerprint, one.count) for one in failures] == [("POST User 409", 11)]
    (cluster,) = [one for one in await health.failure_clusters(database, tested.first_request) if one.fingerprint == "POST User 409"]  # type: ignore[arg-type]
    assert cluster.count >= 11
    assert cluster.tenants >= 1
    assert len(cluster.slugs) == min(cluster.tenants, 3)
    hours = {one.kind: one.count for one in await health.hours_of(database, tenant.id, tested.first_request.replace(minute=0, second=0, microsecond=0))}  # type: ignore[union-attr]
    assert hours == {"read": 7, "created": 1, "failed": 11}


async def test_listeners_hear_of_their_tenant_alone(database: Database, tenant: Tenant, other_tenant: Tenant) -> None:
    live = Live(None)
    log = RequestLog(database, live, gap_seconds=300)
    async with live.listening(tenant.id, uuid4()) as mine, live.listening(other_tenant.id, uuid4()) as others:
        log.note(entry(tenant.slug))
        await log.flush()
        assert mine.is_set()
        assert not others.is_set()
    assert not live._listeners


async def test_it_is_counted_how_many_active_tenants_began_a_cycle(database: Database, tenant: Tenant, cluster: Cluster) -> None:
    before = await health.cycles_begun(database)
    log = RequestLog(database, Live(None), gap_seconds=300)
    log.note(entry(tenant.slug, method="POST", status=201))
    await log.flush()

    async def begun(change: str) -> dict[str, float]:
        await admin.execute(f"UPDATE rollhouse.{change} = $1", tenant.id)
        return {minutes: count - before[minutes] for minutes, count in (await health.cycles_begun(database)).items()}

    admin = await asyncpg.connect(cluster.superuser_url)
    try:
        assert await begun("tenant_health SET cycle_began = cycle_began WHERE tenant_id") == {"10": 1, "40": 1, "120": 1}
        assert await begun("tenant_health SET cycle_began = cycle_began - interval '30 minutes' WHERE tenant_id") == {"10": 0, "40": 1, "120": 1}
        assert await begun("tenants SET status = 'suspended' WHERE id") == {"10": 0, "40": 0, "120": 0}
        assert await begun("tenants SET status = 'active' WHERE id") == {"10": 0, "40": 1, "120": 1}
        assert await begun("tenant_health SET cycle_began = cycle_began - interval '2 hours' WHERE tenant_id") == {"10": 0, "40": 0, "120": 0}
    finally:
        await admin.close()
