"""The two other servers: their environment, made from a lock of its own, and one gunicorn worker for each size of directory."""

import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path

import asyncpg

from benchmarks.cpu import family
from benchmarks.peer_servers.samples import NoRatio
from benchmarks.stage import Stage, free_port
from rollhouse.cli.seed import seeded_user

LOCK = Path("requirements/peers.txt")
SITES = Path(__file__).parent
THREADS = 8
START_SECONDS = 600
"""Longest that a server takes to fill itself and to answer."""
DATABASE_ROLE = "peers"


def install(folder: Path) -> Path:
    """The programs of the peers' environment, made anew when the lock has changed."""
    stamp, lock = folder / "installed.txt", LOCK.read_text()
    if not stamp.exists() or stamp.read_text() != lock:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", LOCK]
        subprocess.run(pip, check=True)
        stamp.write_text(lock)
    return folder / "bin"


def versions(programs: Path) -> dict[str, str]:
    """Those of the other servers, and of what serves them."""
    listed = subprocess.run([programs / "pip", "list", "--format", "json", "--disable-pip-version-check"], capture_output=True, check=True).stdout
    found = {one["name"]: one["version"] for one in json.loads(listed)}
    return {name: found[name] for name in ("scim2-server", "django-scim2", "gunicorn")}


def slug_of(users: int) -> str:
    """The tenant of that many users; `rollhouse seed` numbers the tenants of a prefix."""
    return f"peer-{users}-1"


def write_users(folder: Path, users: int) -> Path:
    """A file with a document a line: the same users that Rollhouse's tenant of that size has."""
    path = folder / f"{slug_of(users)}.ndjson"
    if not path.exists():
        part = path.with_suffix(".part")
        with part.open("w") as file:
            file.writelines(json.dumps(seeded_user(slug_of(users), number)) + "\n" for number in range(users))
        part.rename(path)
    return path


async def make_database(stage: Stage, name: str) -> None:
    """An empty database of the peers' role in Rollhouse's Postgres."""
    connection = await asyncpg.connect(stage.postgres.url("postgres", "postgres"))
    try:
        if not await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", DATABASE_ROLE):
            await connection.execute(f"CREATE ROLE {DATABASE_ROLE} LOGIN NOSUPERUSER")
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {name} OWNER {DATABASE_ROLE} TEMPLATE template0")
    finally:
        await connection.close()


async def drop_database(stage: Stage, name: str) -> None:
    connection = await asyncpg.connect(stage.postgres.url("postgres", "postgres"))
    await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await connection.close()


class PeerServer:
    """gunicorn with one worker of eight threads (its documentation's choice for a service that keeps connections), on a port of its own."""

    def __init__(self, stage: Stage, programs: Path, users: int, groups: list[int]) -> None:
        self.stage, self.programs, self.users = stage, programs, users
        self.port = free_port()
        self.secret = secrets.token_urlsafe(32)
        self.log = stage.folder / f"{self.name}-{users}.log"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(("ROLLHOUSE_", "PYTHON", "DJANGO_"))} | {
            "PEER_USERS": str(write_users(stage.folder, users)),
            "PEER_GROUPS": " ".join(str(size) for size in groups),
            "PEER_SECRET": self.secret,
        }
        self.process: subprocess.Popen[bytes] | None = None

    name: str
    app: str
    path = "/v2"
    takes_text_for_booleans: bool
    uses_postgres: bool

    def prepare(self) -> None:
        """What has to be there before the server starts."""

    def __enter__(self) -> "PeerServer":
        try:
            self.prepare()
            command = [self.programs / "gunicorn", self.app, "--bind", f"127.0.0.1:{self.port}", "--worker-class", "gthread", "--workers", "1"]
            command += ["--threads", str(THREADS), "--keep-alive", "600", "--timeout", str(START_SECONDS), "--no-control-socket", "--log-level", "error"]
            with self.log.open("wb") as output:
                self.process = subprocess.Popen(command, cwd=SITES, env=self.environment, stdout=output, stderr=output)
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self) -> None:
        """gunicorn listens before its worker has filled itself: an answer to any request says that it has."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=START_SECONDS) as probe:
                    probe.sendall(f"GET {self.path}/ServiceProviderConfig HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n".encode())
                    if probe.recv(1):
                        return
            except OSError:
                time.sleep(0.1)
        raise NoRatio(f"{self.name} with {self.users:,} users did not come up; no ratio is printed. {self._last_words()}")

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-1500:]

    def family(self) -> set[int]:
        if self.process.poll() is not None:
            raise NoRatio(f"{self.name} with {self.users:,} users has ended; no ratio is printed. {self._last_words()}")
        return family(self.process.pid)

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                for pid in family(self.process.pid):
                    os.kill(pid, 9)
                self.process.wait(10)


class MemoryServer(PeerServer):
    """scim2-server: everything in the worker's memory, nothing on disk."""

    name = "scim2-server"
    app = "memory_site:create_app()"
    takes_text_for_booleans = True
    uses_postgres = False

    def user_id(self, number: int) -> str:
        return f"{number:032}"

    def group_id(self, size: int) -> str:
        return f"{size:032}"


class DjangoServer(PeerServer):
    """django-scim2 on a database of its own in the Postgres that serves Rollhouse, each thread with a connection that it keeps."""

    name = "django-scim2"
    app = "django.core.wsgi:get_wsgi_application()"
    takes_text_for_booleans = False
    uses_postgres = True

    def prepare(self) -> None:
        self.database = f"peer_{self.users}"
        asyncio.run(make_database(self.stage, self.database))
        self.environment |= {
            "DJANGO_SETTINGS_MODULE": "django_site.settings",
            "PEER_DATABASE": self.database,
            "PEER_ROLE": DATABASE_ROLE,
            "PEER_HOST": str(self.stage.postgres.folder),
        }
        subprocess.run([self.programs / "python", "-m", "django_site.fill"], cwd=SITES, env=self.environment, check=True)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        asyncio.run(drop_database(self.stage, self.database))

    def user_id(self, number: int) -> str:
        return str(number + 1)

    def group_id(self, size: int) -> str:
        return str(size)
