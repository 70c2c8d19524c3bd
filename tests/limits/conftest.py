"""A real Redis, the limiters of two processes on it, and a service that counts in it."""

import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis

from rollhouse.limits.gcra import RedisLimiter, connect
from tests.conftest import PEPPER, Cluster
from tests.servers.service import Serving, free_port


class RedisServer:
    """A real Redis on a port of its own."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        assert program is not None, "Redis is missing; cure: tests/servers/install"
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [program, "--port", str(self.port), "--save", "", "--dir", str(folder)]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                self.tell("PING")
            except redis.exceptions.ConnectionError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("Redis did not start")

    def tell(self, *words: str | int) -> object:
        """What Redis answers to one command."""
        with redis.Redis(port=self.port, protocol=2) as client:
            return client.execute_command(*words)

    def send(self, what: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(what)
        if what is signal.SIGKILL:
            self.process.wait(10)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def limiters(redis_server: RedisServer) -> AsyncIterator[list[RedisLimiter]]:
    """Two processes' limiters on one Redis."""
    made = [connect(redis_server.url), connect(redis_server.url)]
    yield made
    for limiter in made:
        await limiter.close()


@pytest.fixture
def counting_service(redis_server: RedisServer, embedded_cluster: Cluster, tmp_path: Path) -> Iterator[Serving]:
    """A service process that counts in the Redis."""
    settings = {"ROLLHOUSE_DATABASE_URL": embedded_cluster.app_url, "ROLLHOUSE_PEPPERS": PEPPER, "ROLLHOUSE_REDIS_URL": redis_server.url}
    serving = Serving(tmp_path / "counting.log", settings)
    serving.start()
    yield serving
    assert serving.stop() == 0
