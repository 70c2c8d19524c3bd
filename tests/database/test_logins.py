"""A second login of the service acts as rollhouse_app, with its limits and its gate: a password is exchanged while both are good."""

from rollhouse.database.catalog import catalog_findings
from rollhouse.database.pool import Database
from rollhouse.database.roles import login_script
from tests.conftest import Cluster


async def test_a_second_login_passes_the_gate_and_has_the_limits_of_the_first(cluster: Cluster) -> None:
    psql = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(cluster.server.folder), "-U", "postgres", "-d", "postgres"]
    for _ in range(2):  # it can be run again
        done = cluster.server._run(psql, login_script("rollhouse_app_2").encode())
        assert done.returncode == 0, done.stderr
    database = Database(cluster.server.url("rollhouse_app_2"), connections=1)
    await database.open()
    try:
        (row,) = await database.query(
            "SELECT current_user, session_user, current_setting('statement_timeout'), current_setting('lock_timeout'),"
            " current_setting('idle_in_transaction_session_timeout')"
        )
        assert tuple(row) == ("rollhouse_app", "rollhouse_app_2", "5s", "2s", "10s")
        assert await catalog_findings(database) == []
    finally:
        await database.close()
        assert cluster.server._run(psql, b"DROP ROLE rollhouse_app_2").returncode == 0
