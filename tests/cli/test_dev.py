"""`rollhouse dev` from an empty data_dir to a served tenant, its end, and its second start."""

import json
import os
import signal
import stat
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.service import ROLLHOUSE, clean_environment, free_port, wait_until_ready


class Dev:
    """One `rollhouse dev` process in a data_dir."""

    def __init__(self, data_dir: Path, *arguments: str, **environment: str) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [ROLLHOUSE, "dev", "--data-dir", str(data_dir), "--port", str(self.port), "--metrics-port", str(self.metrics_port), "--json", *arguments]
        self.process = subprocess.Popen(command, env=clean_environment(**environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def announced(self) -> dict[str, Any]:
        wait_until_ready(self.url, self.process)
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def end(self, how: signal.Signals) -> float:
        started = time.monotonic()
        self.process.send_signal(how)
        self.process.communicate(timeout=20)
        return time.monotonic() - started


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A short path, writable, that does not exist yet."""
    base = Path(tempfile.mkdtemp(prefix="rd-"))
    base.chmod(0o755)
    yield base / "data"
    subprocess.run(["rm", "-rf", str(base)], check=True)


def get(url: str, secret: str) -> tuple[int, Any]:
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {secret}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.status, json.load(answer)


def command_line(pid: str) -> bytes:
    """What the process was started with; b"" when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def processes_in(data_dir: Path) -> list[str]:
    return [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit() and str(data_dir).encode() in command_line(entry.name)]


def worker_of(dev: Dev) -> int:
    """The process that serves: the one left beside Postgres when the process that announces the service has ended, which takes a moment."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        children = Path(f"/proc/{dev.process.pid}/task/{dev.process.pid}/children").read_text().split()
        left = [pid for pid in children if (name := command_line(pid)) and b"postgres" not in name]
        if len(left) == 1:
            return int(left[0])
        time.sleep(0.02)
    pytest.fail(f"more than one process serves: {left}")


def run(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROLLHOUSE, *arguments, "--data-dir", str(data_dir)], env=clean_environment(), capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_dev_serves_ends_within_ten_seconds_and_finds_its_data_again(data_dir: Path, how: signal.Signals) -> None:
    first = Dev(data_dir)
    said = first.announced()
    assert said["tenant_url"] == f"{first.url}/t/demo/scim/v2"
    assert get(said["tenant_url"] + "/Users", said["secret"]) == (200, get(said["tenant_url"] + "/Users", said["secret"])[1])
    body = json.dumps({"userName": "ann"}).encode()
    with urllib.request.urlopen(urllib.request.Request(said["tenant_url"] + "/Users", body, {"authorization": f"Bearer {said['secret']}"}), timeout=10) as made:
        assert made.status == 201
    with urllib.request.urlopen(f"http://127.0.0.1:{first.metrics_port}/metrics", timeout=10) as metrics:
        assert b"http_server_request_duration_seconds" in metrics.read()
    # a client that keeps its connection open must not hold up the end
    keeper = urllib.request.urlopen(f"{first.url}/livez", timeout=10)
    assert stat.S_IMODE((data_dir / "private").stat().st_mode) == 0o700
    assert stat.S_IMODE((data_dir / "private" / "demo-secret").stat().st_mode) == 0o600

    assert first.end(how) < 10
    keeper.close()
    assert first.process.returncode == 0
    assert processes_in(data_dir) == []

    second = Dev(data_dir)
    again = second.announced()
    assert again["secret"] == said["secret"]
    assert get(again["tenant_url"] + "/Users", again["secret"])[1]["totalResults"] == 1
    assert second.end(how) < 10


def test_the_other_commands_find_the_server_that_dev_started(data_dir: Path) -> None:
    """--json and --data-dir before and after the verb; the shapes that other tools script."""
    dev = Dev(data_dir, "--no-demo")
    assert "secret" not in dev.announced()
    try:
        made = json.loads(run(data_dir, "tenant", "create", "acme", "--name", "Acme", "--json").stdout)
        assert made.keys() == {"id", "slug", "scim_url"}
        assert made["scim_url"] == f"{dev.url}/t/acme/scim/v2"
        before = subprocess.run(
            [ROLLHOUSE, "--json", "--data-dir", str(data_dir), "secret", "create", "acme"], env=clean_environment(), capture_output=True, check=True
        )
        secret = json.loads(before.stdout)
        assert secret.keys() == {"id", "secret", "prefix"}
        assert secret["secret"].startswith(secret["prefix"] + "_")
        assert get(made["scim_url"] + "/ServiceProviderConfig", secret["secret"])[0] == 200
        assert [one["slug"] for one in json.loads(run(data_dir, "--json", "tenant", "list").stdout)] == ["acme"]
        listed = json.loads(run(data_dir, "secret", "list", "acme", "--json").stdout)
        assert [(one["prefix"], one["state"]) for one in listed] == [(secret["prefix"], "active")]
        assert secret["secret"] not in run(data_dir, "secret", "list", "acme").stdout
        assert json.loads(run(data_dir, "doctor", "--json").stdout) == {"ok": True, "findings": []}
        seeded = run(data_dir, "seed", "--tenants", "2", "--users", "20", "--groups", "2", "--members", "5", "--json")
        assert [one["slug"] for one in json.loads(seeded.stdout)] == ["seed-1", "seed-2"]

        assert run(data_dir, "secret", "revoke", "acme", secret["prefix"]).returncode == 0
        deadline = time.monotonic() + 10
        status = 200
        while status == 200 and time.monotonic() < deadline:
            time.sleep(0.1)
            try:
                status = get(made["scim_url"] + "/Users", secret["secret"])[0]
            except urllib.error.HTTPError as error:
                status = error.code
        assert status == 401
        assert run(data_dir, "tenant", "create", "acme", "--name", "Again").returncode == 1
        assert run(data_dir, "tenant", "create", "Not A Slug", "--name", "x").returncode == 2
        assert run(data_dir, "tenant", "create", "admin", "--name", "x").returncode == 2
        assert run(data_dir, "tenant", "show", "nobody").returncode == 1
        assert run(data_dir, "tenant", "create").returncode == 2
        assert run(data_dir, "secret", "create", "acme", "--expires", "2020-01-01").returncode == 2
    finally:
        dev.end(signal.SIGTERM)


def test_dev_ends_cleanly_when_its_worker_dies_and_leaves_no_server_behind(data_dir: Path) -> None:
    dev = Dev(data_dir, "--no-demo")
    dev.announced()

    os.kill(worker_of(dev), signal.SIGKILL)
    _, words = dev.process.communicate(timeout=20)

    assert dev.process.returncode != 0, words
    assert processes_in(data_dir) == []


def test_a_killed_dev_leaves_no_orphan_worker_and_its_server_is_found_again(data_dir: Path) -> None:
    dev = Dev(data_dir)
    secret = dev.announced()["secret"]
    dev.process.kill()
    dev.process.communicate(timeout=10)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{dev.url}/livez", timeout=1).close()
        except OSError:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the worker outlived its main process")

    again = Dev(data_dir)
    assert again.announced()["secret"] == secret
    assert again.end(signal.SIGTERM) < 10
    assert processes_in(data_dir) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only as root does Postgres run as another user, who needs rights on the parents")
def test_dev_refuses_to_widen_the_rights_of_a_folder_that_it_did_not_make(data_dir: Path) -> None:
    closed = data_dir.parent / "closed"
    closed.mkdir(mode=0o700)

    done = run(closed / "data", "dev", "--port", str(free_port()), "--metrics-port", str(free_port()))

    assert done.returncode == 3
    assert str(closed) in done.stderr
    assert "chmod" in done.stderr
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert not (closed / "data" / "pg").exists()


def test_dev_uses_the_postgres_that_the_environment_names(data_dir: Path, embedded_cluster: Any) -> None:
    environment = {"ROLLHOUSE_DATABASE_URL": embedded_cluster.app_url, "ROLLHOUSE_MIGRATION_DATABASE_URL": embedded_cluster.migrator_url}
    dev = Dev(data_dir, **environment)
    said = dev.announced()

    assert get(said["tenant_url"] + "/Users", said["secret"])[0] == 200
    assert not (data_dir / "pg").exists()
    assert dev.end(signal.SIGTERM) < 10
    assert embedded_cluster.server._running_pid() is not None


def test_a_second_dev_on_the_same_data_dir_is_refused_and_harms_nothing(data_dir: Path) -> None:
    first = Dev(data_dir)
    first.announced()

    second = run(data_dir, "dev", "--port", str(free_port()), "--metrics-port", str(free_port()))

    assert second.returncode == 3
    assert str(first.process.pid) in second.stderr
    with urllib.request.urlopen(f"{first.url}/readyz", timeout=10) as answer:
        assert answer.status == 200
    assert first.end(signal.SIGTERM) < 10


def test_commands_say_that_dev_is_not_running(data_dir: Path) -> None:
    dev = Dev(data_dir, "--no-demo")
    dev.announced()
    dev.end(signal.SIGTERM)

    done = run(data_dir, "tenant", "list")

    assert done.returncode == 3
    assert f"`rollhouse dev` is not running in {data_dir}" in done.stderr


def test_dev_refuses_a_socket_path_that_is_too_long(data_dir: Path) -> None:
    done = run(data_dir.parent / ("x" * 90), "dev", "--port", str(free_port()), "--metrics-port", str(free_port()))

    assert done.returncode == 3
    assert "100 bytes" in done.stderr
    assert not (data_dir.parent / ("x" * 90) / "pg").exists()


def test_a_taken_port_is_said_before_anything_is_started(data_dir: Path, service: Any) -> None:
    done = run(data_dir, "dev", "--port", str(service.port))

    assert done.returncode == 3
    assert str(service.port) in done.stderr
    assert not data_dir.exists()
