"""What a measurement runs on: an embedded Postgres with a kept data set, and the service beside it, each a process of its own."""

import asyncio
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from rollhouse.cli.embedded import EmbeddedPostgres, embedded_programs
from rollhouse.cli.redis import RedisServer, redis_program
from rollhouse.database.migrations import migrate
from rollhouse.tenancy.secrets import new_pepper

ROLLHOUSE = str(Path(sys.executable).with_name("rollhouse"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url: str) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SystemExit(f"{url} did not come up")


def _version_of(program: Path) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+(?:\.\d+)+", said)
    assert found, said
    return found[0]


class Stage:
    """Postgres (fsync and synchronous_commit on, 1 GB of shared buffers), Redis where it is wanted, and one `rollhouse serve`.

    Without rate limits, unless `settings` say otherwise.
    """

    def __init__(self, folder: Path, *, with_redis: bool = False, **settings: str) -> None:
        self.settings = settings
        self.redis = RedisServer(folder / "redis", redis_program()) if with_redis else None
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        folder.chmod(0o755)
        self.folder = folder
        self.postgres = EmbeddedPostgres(folder / "pg", embedded_programs(), options=("shared_buffers=1GB", "max_wal_size=4GB"))
        self.port, self.metrics_port = free_port(), free_port()
        self.service: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Stage":
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        self.postgres.start()
        asyncio.run(migrate(self.postgres.url("rollhouse_migrator")))
        pepper = self.folder / "pepper"
        if not pepper.exists():
            pepper.write_text(new_pepper())
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("ROLLHOUSE_")} | {
            "ROLLHOUSE_DATABASE_URL": self.postgres.url("rollhouse_app"),
            "ROLLHOUSE_PEPPERS": pepper.read_text(),
            "ROLLHOUSE_PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "ROLLHOUSE_RATE_PER_SECOND": "0",
            **self.settings,
        }
        if self.redis is not None:
            self.redis.prepare()
            self.redis.start()
            self.environment["ROLLHOUSE_REDIS_URL"] = self.redis.url
        command = [ROLLHOUSE, "serve", "--port", str(self.port), "--metrics-port", str(self.metrics_port)]
        self.service = subprocess.Popen(command, env=self.environment)
        wait_for(f"http://127.0.0.1:{self.port}/readyz")

    def __exit__(self, *_: object) -> None:
        if self.service is not None:
            self.service.send_signal(signal.SIGTERM)
            self.service.wait(20)
        if self.redis is not None:
            self.redis.stop()
        self.postgres.stop()

    @property
    def postgres_pid(self) -> int:
        return int((self.postgres.folder / "postmaster.pid").read_text().split()[0])

    @property
    def redis_pid(self) -> int:
        assert self.redis is not None
        return int((self.redis.folder / "redis.pid").read_text())

    def ran_on(self) -> dict[str, str]:
        """The machine, and the versions of what was measured on it."""
        processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        found = {"processor": processor[1] if processor else platform.machine(), "cores": str(os.cpu_count()), "Linux": platform.release().split("-")[0]}
        found |= {"Python": platform.python_version(), "PostgreSQL": _version_of(embedded_programs() / "postgres")}
        return found | ({"Redis": _version_of(redis_program())} if self.redis is not None else {})

    def run(self, *arguments: str):
        """What a `rollhouse` command prints as JSON; its progress goes to this terminal."""
        done = subprocess.run([ROLLHOUSE, *arguments, "--json"], env=self.environment, stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)

    def secret(self, slug: str) -> str:
        for old in self.run("secret", "list", slug):
            self.run("secret", "revoke", slug, old["id"])
        return self.run("secret", "create", slug, "--label", "benchmark")["secret"]
