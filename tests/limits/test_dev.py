"""`rollhouse dev --redis`: a private Redis beside Postgres, started, found again after a crash, ended with everything else."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import redis

from rollhouse.cli.redis import MEMORY
from tests.cli.test_dev import Dev, data_dir, get, processes_in
from tests.servers.service import ROLLHOUSE, clean_environment

__all__ = ["data_dir"]


def counted(data_dir: Path) -> list[bytes]:
    with redis.Redis(unix_socket_path=str(data_dir / "redis" / "redis.sock"), protocol=2) as client:
        return client.keys("rollhouse:rate:*")


def refused(data_dir: Path, **environment: str) -> tuple[int, str]:
    command = [str(Path(sys.executable)), ROLLHOUSE, "dev", "--redis", "--data-dir", str(data_dir)]
    done = subprocess.run(command, env=clean_environment(**environment), capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr


def test_dev_counts_in_a_private_redis_survives_its_own_death_and_ends_all_in_ten_seconds(data_dir: Path) -> None:
    first = Dev(data_dir, "--redis")
    said = first.announced()
    assert get(said["tenant_url"] + "/Users", said["secret"])[0] == 200
    assert len(counted(data_dir)) == 1
    folder = data_dir / "redis"
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE((folder / "redis.sock").stat().st_mode) == 0o700
    with redis.Redis(unix_socket_path=str(folder / "redis.sock"), protocol=2) as client:
        settings = client.config_get("port", "maxmemory", "maxmemory-policy", "save", "appendonly")
        assert settings == {"port": "0", "maxmemory": str(64 * 1024**2), "maxmemory-policy": "allkeys-lru", "save": "", "appendonly": "no"}
        orphan = client.info("server")["process_id"]
    assert MEMORY == "64mb"
    assert Path(f"/proc/{orphan}").stat().st_uid == folder.stat().st_uid
    assert Path(f"/proc/{orphan}").stat().st_uid != 0

    first.process.send_signal(signal.SIGKILL)
    first.process.communicate(timeout=20)
    second = Dev(data_dir, "--redis")
    again = second.announced()
    assert get(again["tenant_url"] + "/Users", again["secret"])[0] == 200
    with redis.Redis(unix_socket_path=str(folder / "redis.sock"), protocol=2) as client:
        assert client.info("server")["process_id"] != orphan
    assert second.end(signal.SIGTERM) < 10
    assert second.process.returncode == 0
    deadline = time.monotonic() + 10
    while processes_in(data_dir) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_in(data_dir) == []


def test_without_the_program_dev_says_what_to_install(data_dir: Path) -> None:
    code, said = refused(data_dir, PATH=os.fspath(data_dir))

    assert code == 3
    assert "apt-get install redis-server" in said
    assert "leave out --redis" in said
    assert not data_dir.exists()


def test_two_redis_servers_are_refused(data_dir: Path) -> None:
    code, said = refused(data_dir, ROLLHOUSE_REDIS_URL="redis://127.0.0.1:1/0")

    assert code == 2
    assert "leave out one of them" in said
    assert not data_dir.exists()


def test_make_run_passes_redis_on() -> None:
    root = Path(__file__).resolve().parents[2]
    shown = {given: subprocess.run(["make", "-n", "run", *given], cwd=root, capture_output=True, text=True, check=True).stdout for given in ((), ("REDIS=1",))}

    assert "--redis" not in shown[()]
    assert "rollhouse dev --redis" in shown["REDIS=1",]
