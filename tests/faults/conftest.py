"""Servers of these tests' own: whatever is broken here, no other test notices."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rollhouse.cli.embedded import EmbeddedPostgres, embedded_programs
from rollhouse.database.migrations import migrate
from rollhouse.database.pool import Database
from tests.faults.stage import Breakable


@pytest.fixture(scope="session")
def faults_folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="rx-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def breakable_postgres(faults_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server that a test may break as long as it mends it; it finds deadlocks fast."""
    server = EmbeddedPostgres(faults_folder / "b", embedded_programs(), options=("deadlock_timeout=50ms",))
    server.start()
    asyncio.run(migrate(server.url("rollhouse_migrator")))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def stage(breakable_postgres: EmbeddedPostgres, faults_folder: Path) -> Iterator[Breakable]:
    """The service as a process on that server; it is never restarted, whatever happens to the server."""
    made = Breakable(breakable_postgres, faults_folder / "service.log")
    made.service.start()
    yield made
    assert made.service.stop() == 0
    log = made.service.log.read_text()
    assert "Traceback" not in log
    assert "fault" not in log, log


@pytest.fixture
async def pool(breakable_postgres: EmbeddedPostgres) -> AsyncIterator[Database]:
    """A pool of eight connections to that server in this process, so that a test sees its inside."""
    opened = Database(breakable_postgres.url("rollhouse_app"), connections=8)
    await opened.open()
    yield opened
    await opened.close()
