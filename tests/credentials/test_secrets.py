"""SCIM secrets: how many a tenant may have, how soon a revoked one is refused everywhere, and what is remembered of their use."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import httpx
import pytest

from rollhouse.database.pool import Database
from rollhouse.journal import audit
from rollhouse.journal.audit import UNATTENDED
from rollhouse.scim.errors import Conflict, ScimError, Unauthorized
from rollhouse.tenancy import access, credentials, operators
from rollhouse.tenancy.access import CredentialGate
from rollhouse.tenancy.secrets import Peppers, new_pepper
from rollhouse.tenancy.tenants import Tenant
from tests.conftest import PEPPER, Cluster, new_tenant
from tests.servers.service import Serving

PEPPERS = Peppers.parse(PEPPER)


async def mint(database: Database, tenant: Tenant, *, label: str | None = None, expires: datetime | None = None) -> credentials.NewSecret:
    return await credentials.create_secret(database, PEPPERS, tenant, cause=UNATTENDED, label=label, expires=expires)


async def test_two_secrets_are_usual_the_third_is_warned_of_the_sixth_refused(database: Database, tenant: Tenant) -> None:
    made = [await mint(database, tenant, label=f"number {number}") for number in range(5)]

    assert [one.warning is None for one in made] == [True, True, False, False, False]
    assert made[0].minted.prefix in str(made[2].warning)
    with pytest.raises(Conflict) as refusal:
        await mint(database, tenant)
    assert refusal.value.status == 409
    assert all(one.minted.prefix in refusal.value.detail and f"number {number}" in refusal.value.detail for number, one in enumerate(made))

    await credentials.revoke_secret(database, tenant, made[0].minted.prefix, cause=UNATTENDED)
    assert (await mint(database, tenant)).warning


async def test_an_expired_secret_does_not_count(database: Database, tenant: Tenant) -> None:
    for _ in range(5):
        await mint(database, tenant, expires=datetime.now(UTC) - timedelta(seconds=1))

    assert (await mint(database, tenant)).warning is None


async def test_parallel_requests_cannot_pass_the_limit(database: Database, tenant: Tenant) -> None:
    results = await asyncio.gather(*(mint(database, tenant) for _ in range(12)), return_exceptions=True)

    assert sum(isinstance(one, credentials.NewSecret) for one in results) == 5
    assert all(isinstance(one, credentials.NewSecret | ScimError) for one in results)
    assert len(await credentials.list_secrets(database, tenant)) == 5


async def test_every_effect_on_a_secret_has_its_row_in_the_audit(database: Database, tenant: Tenant) -> None:
    made = await mint(database, tenant, label="label of a secret")
    await credentials.revoke_secret(database, tenant, str(made.id), cause=UNATTENDED)

    rows = [row for row in await audit.list_entries(database, tenant.id) if row.target_type == "Credential"]

    assert [(row.action, row.target_id) for row in rows] == [("secret.created", str(made.id)), ("secret.revoked", str(made.id))]
    assert "label of a secret" not in str(rows)


@pytest.mark.threat("T26")
async def test_one_comparison_in_constant_time_whatever_the_secret(database: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Right, wrong, unknown and malformed secrets all end in one comparison of two MACs of one length."""
    import hmac

    right = (await mint(database, tenant)).minted.secret
    compared: list[tuple[int, int]] = []
    original = hmac.compare_digest

    def noting(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return original(one, other)

    monkeypatch.setattr(access.hmac, "compare_digest", noting)
    gate = CredentialGate(database, PEPPERS)
    for secret in (right, right[:-10] + "AAAAAAAAAA", "scimsk_" + "A" * 62, "x", ""):
        compared.clear()
        try:
            await gate.access_by(tenant.slug, secret, is_read=True)
        except ScimError:
            assert secret != right
        assert compared.count((32, 32)) == 1, secret


async def test_a_use_is_noted_at_most_once_a_minute(database: Database, tenant: Tenant) -> None:
    made = await mint(database, tenant)
    gate = CredentialGate(database, PEPPERS)
    noted = []
    for _ in range(2):
        await gate.access_by(tenant.slug, made.minted.secret, is_read=True)
        await access.note_uses(database, gate.take_uses())
        noted.append((await credentials.list_secrets(database, tenant))[0].last_used)

    assert noted[0] is not None
    assert noted[0] == noted[1]


async def test_the_uses_that_wait_are_bounded(database: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "USES_LIMIT", 1)
    gate = CredentialGate(database, PEPPERS)
    for _ in range(3):
        await gate.access_by(tenant.slug, (await mint(database, tenant)).minted.secret, is_read=True)

    assert len(gate.take_uses()) == 1


@pytest.fixture
def second_service(embedded_cluster: Cluster, folder: Path) -> Iterator[Serving]:
    """Another process of the same service."""
    serving = Serving(folder / "second.log", {"ROLLHOUSE_DATABASE_URL": embedded_cluster.app_url, "ROLLHOUSE_PEPPERS": PEPPER})
    serving.start()
    yield serving
    assert serving.stop() == 0


async def seconds_until_refused(urls: list[str], secret: str, since: float) -> float:
    """From `since` until every process answers 401; each is asked twenty times a second, so that its cache never runs out unasked."""
    last = since

    async def ask(client: httpx.AsyncClient, url: str) -> None:
        nonlocal last
        while time.monotonic() < since + 15:
            response = await client.get(f"{url}/Users?count=0", headers={"authorization": f"Bearer {secret}"})
            if response.status_code == 401:
                return
            assert response.status_code == 200
            last = max(last, time.monotonic())
            await asyncio.sleep(0.05)

    async with httpx.AsyncClient(timeout=30) as client:
        await asyncio.gather(*(ask(client, url) for url in urls))
    return last - since


async def warm(urls: list[str], secret: str) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        for url in urls:
            assert (await client.get(f"{url}/Users?count=0", headers={"authorization": f"Bearer {secret}"})).status_code == 200


@pytest.mark.threat("T29")
async def test_a_revoked_secret_is_refused_by_every_process_within_a_second(service: Serving, second_service: Serving, service_database: Database) -> None:
    tenant = await new_tenant(service_database)
    secret = (await mint(service_database, tenant)).minted.secret
    urls = [one.url + tenant.path for one in (service, second_service)]
    await warm(urls, secret)

    await credentials.revoke_secret(service_database, tenant, secret[:19], cause=UNATTENDED)

    assert await seconds_until_refused(urls, secret, time.monotonic()) <= 1


@pytest.fixture
async def silenced(embedded_cluster: Cluster) -> AsyncIterator[None]:
    """Nobody hears of changed credentials."""
    admin = await asyncpg.connect(embedded_cluster.superuser_url)
    await admin.execute("ALTER TABLE rollhouse.credentials DISABLE TRIGGER tell_change")
    yield
    await admin.execute("ALTER TABLE rollhouse.credentials ENABLE TRIGGER tell_change")
    await admin.close()


@pytest.mark.threat("T29")
async def test_with_notifications_broken_a_revoked_secret_is_refused_within_ten_seconds(
    silenced: None, service: Serving, second_service: Serving, service_database: Database
) -> None:
    tenant = await new_tenant(service_database)
    secret = (await mint(service_database, tenant)).minted.secret
    urls = [one.url + tenant.path for one in (service, second_service)]
    await warm(urls, secret)

    await credentials.revoke_secret(service_database, tenant, secret[:19], cause=UNATTENDED)

    assert await seconds_until_refused(urls, secret, time.monotonic()) <= 10


async def test_a_gate_believes_nothing_for_longer_than_five_seconds() -> None:
    assert access.CACHE_SECONDS <= 5
    assert access.UNKNOWN_SECONDS <= 1


async def test_the_use_of_a_secret_shows_on_the_running_service(service: Serving, service_database: Database) -> None:
    tenant = await new_tenant(service_database)
    secret = (await mint(service_database, tenant)).minted.secret
    await warm([service.url + tenant.path], secret)

    until = time.monotonic() + 60
    while (await credentials.list_secrets(service_database, tenant))[0].last_used is None:
        assert time.monotonic() < until
        await asyncio.sleep(0.5)


async def test_exchange_and_revocation_under_load_lose_no_request_that_should_pass(service: Serving, service_database: Database) -> None:
    """About 200 requests a second while the old secret is exchanged for a new one and revoked."""
    tenant = await new_tenant(service_database)
    url = service.url + tenant.path + "/Users?count=0"
    state = {"secret": (await mint(service_database, tenant)).minted.secret}
    old = state["secret"]
    answers: list[tuple[str, int]] = []

    async def ask(client: httpx.AsyncClient, secret: str) -> None:
        answers.append((secret, (await client.get(url, headers={"authorization": f"Bearer {secret}"})).status_code))

    async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=15)) as client:

        async def load(seconds: float) -> None:
            asked = []
            for _ in range(int(seconds * 200)):
                asked.append(asyncio.create_task(ask(client, state["secret"])))
                await asyncio.sleep(1 / 200)
            await asyncio.gather(*asked)

        await load(1)
        state["secret"] = (await mint(service_database, tenant)).minted.secret
        await load(1)
        await asyncio.gather(load(2), credentials.revoke_secret(service_database, tenant, old[:19], cause=UNATTENDED))

    assert len(answers) == 800
    assert {status for _, status in answers} == {200}
    assert len({secret for secret, _ in answers}) == 2


@pytest.mark.threat("T29")
async def test_the_pepper_is_exchanged_without_a_refused_request(embedded_cluster: Cluster, service_database: Database, folder: Path) -> None:
    """Old, then new beside old, then new alone: a secret in use is stored anew by the new pepper as it is used."""
    old = "1:" + new_pepper().partition(":")[2]
    new = "2:" + new_pepper().partition(":")[2]
    tenant = await new_tenant(service_database)
    made = await credentials.create_secret(service_database, Peppers.parse(old), tenant, cause=UNATTENDED)

    async def version() -> int:
        async with service_database.transaction(tenant.id) as tx:
            return int((await tx.fetch("SELECT pepper_version FROM rollhouse.credentials WHERE id = $1", made.id))[0][0])

    for peppers in (old, f"{new},{old}", new):
        serving = Serving(folder / "peppers.log", {"ROLLHOUSE_DATABASE_URL": embedded_cluster.app_url, "ROLLHOUSE_PEPPERS": peppers})
        serving.start()
        await warm([serving.url + tenant.path], made.minted.secret)
        assert serving.stop() == 0, "the uses that wait are written at the end"
        assert await version() == int(peppers[0])


async def test_an_operators_key_outlives_the_exchange_of_the_pepper(database: Database) -> None:
    """A key in use is stored anew by the new pepper; one that nobody used meanwhile is told by `pepper_versions`."""
    old = "1:" + new_pepper().partition(":")[2]
    new = "2:" + new_pepper().partition(":")[2]
    made = await operators.create_key(database, Peppers.parse(old), scopes=["tenants:read"], cause=UNATTENDED)

    for peppers in (old, f"{new},{old}", new):
        assert (await operators.verify_key(database, Peppers.parse(peppers), made.minted.secret)).key_id == made.key.id
    with pytest.raises(Unauthorized):
        await operators.verify_key(database, Peppers.parse(old), made.minted.secret)


async def test_while_pods_are_exchanged_each_verifies_what_the_others_have_stored(database: Database) -> None:
    """The three steps of docs/kubernetes.md: at each two generations of pods run side by side. The short way fails, which is why there are three."""
    old = "1:" + new_pepper().partition(":")[2]
    new = "2:" + new_pepper().partition(":")[2]
    made = await operators.create_key(database, Peppers.parse(old), scopes=["tenants:read"], cause=UNATTENDED)

    for before, after in ((old, f"{old},{new}"), (f"{old},{new}", f"{new},{old}"), (f"{new},{old}", new)):
        for peppers in (before, after, before, after):
            assert (await operators.verify_key(database, Peppers.parse(peppers), made.minted.secret)).key_id == made.key.id

    short = await operators.create_key(database, Peppers.parse(old), scopes=["tenants:read"], cause=UNATTENDED)
    await operators.verify_key(database, Peppers.parse(f"{new},{old}"), short.minted.secret)
    with pytest.raises(Unauthorized):
        await operators.verify_key(database, Peppers.parse(old), short.minted.secret)
