"""Real servers for the whole run, a fresh tenant for each test."""

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rollhouse.cli.embedded import EmbeddedPostgres, embedded_programs
from rollhouse.database.migrations import migrate
from rollhouse.database.pool import Database
from rollhouse.directory.resources import Scope
from rollhouse.journal.audit import UNATTENDED
from rollhouse.scim.schemas import GROUP, USER, ResourceType
from rollhouse.tenancy import credentials, tenants
from rollhouse.tenancy.secrets import Peppers, new_pepper
from rollhouse.tenancy.tenants import Tenant
from tests.servers.service import ScimClient, Serving

PEPPER = new_pepper()
DEBIAN_PROGRAMS = Path("/usr/lib/postgresql/15/bin")
_numbers = itertools.count(1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """In CI a skipped test is a missing component: the run fails (see pytest_sessionfinish)."""
    if os.environ.get("CI") and terminalreporter.stats.get("skipped"):
        terminalreporter.write_line("skipped tests fail the run in CI", red=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


class Cluster:
    """A Postgres server with the roles, the database and all migrations."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.server = server
        self.app_url = server.url("rollhouse_app")
        self.migrator_url = server.url("rollhouse_migrator")
        self.superuser_url = server.url("postgres")


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A short path that the user of an embedded Postgres may enter."""
    made = Path(tempfile.mkdtemp(prefix="rh-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def _cluster(folder: Path, programs: Path, locale: str) -> Iterator[Cluster]:
    server = EmbeddedPostgres(folder / "pg", programs, locale=locale)
    server.start()
    cluster = Cluster(server)
    asyncio.run(migrate(cluster.migrator_url))
    yield cluster
    server.stop()


@pytest.fixture(scope="session")
def embedded_cluster(folder: Path) -> Iterator[Cluster]:
    """The embedded PostgreSQL 18, which `rollhouse dev` uses."""
    yield from _cluster(folder / "e", embedded_programs(), "C")


@pytest.fixture(scope="session")
def debian_cluster(folder: Path) -> Iterator[Cluster]:
    """Debian's PostgreSQL 15 in the locale en_US.UTF-8, whose order of letters is not that of code points."""
    assert DEBIAN_PROGRAMS.is_dir(), "Debian's Postgres is missing; cure: tests/servers/install"
    yield from _cluster(folder / "d", DEBIAN_PROGRAMS, "en_US.UTF-8")


@pytest.fixture(scope="session", params=["embedded", "debian"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Each of the two servers in turn."""
    return request.getfixturevalue(f"{request.param}_cluster")


@pytest.fixture(scope="session")
async def database(cluster: Cluster) -> AsyncIterator[Database]:
    """The database as the app role."""
    opened = Database(cluster.app_url, connections=8)
    await opened.open()
    yield opened
    await opened.close()


async def new_tenant(database: Database) -> Tenant:
    number = next(_numbers)
    made = await tenants.create_tenant(database, f"tenant-{number}", f"Tenant {number}", cause=UNATTENDED)
    return await tenants.set_limit(database, made.slug, 0, 0, cause=UNATTENDED)


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    """A fresh tenant without a rate limit."""
    return await new_tenant(database)


@pytest.fixture
async def other_tenant(database: Database) -> Tenant:
    """A second one, which must never see the first."""
    return await new_tenant(database)


def scope_of(database: Database, tenant: Tenant, resource_type: ResourceType) -> Scope:
    return Scope(database, tenant.id, resource_type, "https://scim.example" + tenant.path)


@pytest.fixture
def users(database: Database, tenant: Tenant) -> Scope:
    """The fresh tenant's users, as the directory's verbs want them."""
    return scope_of(database, tenant, USER)


@pytest.fixture
def groups(database: Database, tenant: Tenant) -> Scope:
    """The fresh tenant's groups."""
    return scope_of(database, tenant, GROUP)


@pytest.fixture(scope="session")
def service(embedded_cluster: Cluster, folder: Path) -> Iterator[Serving]:
    """The service as a process of its own, on the embedded Postgres."""
    serving = Serving(folder / "service.log", {"ROLLHOUSE_DATABASE_URL": embedded_cluster.app_url, "ROLLHOUSE_PEPPERS": PEPPER})
    serving.start()
    yield serving
    assert serving.stop() == 0


@pytest.fixture(scope="session")
async def service_database(service: Serving, embedded_cluster: Cluster) -> AsyncIterator[Database]:
    opened = Database(embedded_cluster.app_url, connections=4)
    await opened.open()
    yield opened
    await opened.close()


async def new_client(service: Serving, database: Database) -> ScimClient:
    tenant = await new_tenant(database)
    made = await credentials.create_secret(database, Peppers.parse(PEPPER), tenant, cause=UNATTENDED)
    return ScimClient(service.url + tenant.path, made.minted.secret, str(tenant.id))


@pytest.fixture
async def acme(service: Serving, service_database: Database) -> AsyncIterator[ScimClient]:
    """A SCIM client of a fresh tenant of the running service, without a rate limit."""
    client = await new_client(service, service_database)
    yield client
    await client.close()


@pytest.fixture
async def globex(service: Serving, service_database: Database) -> AsyncIterator[ScimClient]:
    """A SCIM client of a second fresh tenant."""
    client = await new_client(service, service_database)
    yield client
    await client.close()
