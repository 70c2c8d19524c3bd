"""Whole provisioning cycles of the Entra simulator against the running service, as `rollhouse simulate entra` runs them."""

import json
import subprocess

import pytest

from rollhouse.database.pool import Database
from tests.conftest import new_client
from tests.servers.service import ROLLHOUSE, Serving, clean_environment

SMALL = ["smoke", "brownfield", "tombstone", "hostileData", "dialectSwitch", "restart"]


async def play(service: Serving, database: Database, *options: str) -> dict:
    client = await new_client(service, database)
    await client.close()
    environment = clean_environment(ROLLHOUSE_SCIM_SECRET=client.secret)
    command = [ROLLHOUSE, "simulate", "entra", "--url", client.base_url, "--rate", "0", "--json", *options]
    done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=600)
    report = json.loads(done.stdout)
    assert report["incompatible"] == []
    assert report["converged"] is True
    assert report["writes_in_second_incremental"] == 0
    assert all(not status.startswith("5") for statuses in report["requests"].values() for status in statuses)
    assert done.returncode == 0
    assert report.keys() >= {"scenario", "requests", "latency_ms", "incompatible", "converged", "writes_in_second_incremental"}
    return report


@pytest.mark.parametrize("dialect", ["legacy", "flag"])
@pytest.mark.parametrize("scenario", SMALL)
async def test_a_cycle_ends_with_the_directory_and_no_needless_write(service: Serving, service_database: Database, scenario: str, dialect: str) -> None:
    report = await play(service, service_database, "--scenario", scenario, "--dialect", dialect, "--seed", "3")

    assert sum(count for statuses in report["requests"].values() for count in statuses.values()) > 100


async def test_a_big_group_takes_six_parallel_writers_uncapped(service: Serving, service_database: Database) -> None:
    await play(service, service_database, "--scenario", "bigGroup", "--members", "2000", "--group-workers", "6")
