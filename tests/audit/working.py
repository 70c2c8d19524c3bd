"""A real `rollhouse worker` process, and other `rollhouse` commands on the same database."""

import contextlib
import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rollhouse.journal.sealing import new_audit_key
from tests.conftest import Cluster
from tests.servers.service import ROLLHOUSE, clean_environment, free_port

AUDIT_KEY = new_audit_key()


def environment_of(cluster: Cluster) -> dict[str, str]:
    return clean_environment(ROLLHOUSE_DATABASE_URL=cluster.app_url, ROLLHOUSE_AUDIT_KEY=AUDIT_KEY)


def run(cluster: Cluster, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """A command that ended by itself."""
    return subprocess.run([ROLLHOUSE, *arguments], env=environment_of(cluster) | environment, capture_output=True, text=True, check=False, timeout=60)


class Working:
    """One `rollhouse worker` process; what it logs is in the file `log`, and Postgres knows its connections by `name`."""

    def __init__(self, cluster: Cluster, log: Path, **variables: str) -> None:
        self.log = log
        self.metrics_port = free_port()
        self.name = f"worker-{self.metrics_port}"
        environment = environment_of(cluster) | {"ROLLHOUSE_DATABASE_URL": f"{cluster.app_url}&application_name={self.name}"} | variables
        with log.open("ab") as output:
            command = [ROLLHOUSE, "worker", "--metrics-port", str(self.metrics_port)]
            self.process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of one event so far; a last line that is still being written is left out."""
        whole = self.log.read_text().rpartition("\n")[0]
        return [line for line in map(json.loads, whole.splitlines()) if line["event"] == name]

    def metric(self, name: str) -> float | None:
        """The value of a metric with its labels; None while there is none."""
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(f"{name} "):
                    return float(line.rpartition(" ")[2])
        return None

    def probe(self, path: str) -> tuple[int, str]:
        """What a probe on the metrics' port answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def end(self) -> int:
        """Its exit code after SIGTERM, which it has five seconds to heed."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(5)


@contextlib.contextmanager
def working(cluster: Cluster, log: Path, **variables: str) -> Iterator[Working]:
    """A worker for the length of the block; it is killed at the end if it still runs."""
    worker = Working(cluster, log, **variables)
    try:
        yield worker
    finally:
        worker.process.kill()
        worker.process.wait(5)


def wait_until(is_so: Callable[[], bool], seconds: float = 30) -> None:
    """Poll until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)
