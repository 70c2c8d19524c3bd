"""A real Prometheus (Debian's) that scrapes twice a second, and what it answers."""

import json
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.servers.service import free_port


def program(name: str) -> str:
    found = shutil.which(name)
    assert found is not None, f"{name} is missing; cure: tests/servers/install"
    return found


class Prometheus:
    """One server process; `targets` are jobs by name with their ports."""

    def __init__(self, folder: Path, targets: dict[str, list[int]], rules: dict[str, Any] | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        jobs = [{"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}]} for job, ports in targets.items()]
        config: dict[str, Any] = {"global": {"scrape_interval": "500ms", "scrape_timeout": "450ms", "evaluation_interval": "500ms"}, "scrape_configs": jobs}
        if rules is not None:
            (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
            config["rule_files"] = ["rules.yaml"]
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        self.log = folder / "prometheus.log"
        command = [program("prometheus"), f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}", "--enable-feature=exemplar-storage", "--log.level=warn"]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output)

    def wait_for_targets(self, count: int) -> None:
        """Wait until so many targets have been scraped: the first scrape comes five seconds after the start."""
        deadline = time.monotonic() + 30
        while True:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if sum(one["value"][1] == "1" for one in self.query("up")) >= count:
                    return
            except (urllib.error.URLError, OSError):
                pass
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)

    def _ask(self, path: str, **parameters: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The samples of an instant query."""
        found = self._ask("query", query=expr)
        return found["result"] if found["resultType"] == "vector" else [{"metric": {}, "value": found["result"]}]

    def alerts(self) -> dict[str, set[str]]:
        """The names of the alerts that are pending and firing, by state."""
        found: dict[str, set[str]] = {"pending": set(), "firing": set()}
        for one in self._ask("alerts")["alerts"]:
            found[one["state"]].add(one["labels"]["alertname"])
        return found

    def exemplars(self, expr: str) -> list[dict[str, Any]]:
        now = time.time()
        return self._ask("query_exemplars", query=expr, start=str(now - 600), end=str(now))

    def close(self) -> None:
        self.stop()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
