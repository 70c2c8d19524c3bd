"""Postgres and Redis as a cluster meets them: over TCP, with passwords in which no character is safe."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from rollhouse.cli.embedded import SYSTEM_USER
from rollhouse.database.roles import bootstrap_script

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
PASSWORDS = {
    "rollhouse_app": "p@ss:w/rd?#[]%20&=+ '\"\\$`{}|<>^~;!*(),äß☃",
    "rollhouse_migrator": "%41/..//@@::migrator#1",
    "redis": "r&d!s %/@:#?",
}


class OutsidePostgres:
    """Debian's Postgres with the roles and the database of Rollhouse, whose login roles must give their passwords."""

    def __init__(
        self, folder: Path, address: str, port: int, *, prefix: tuple[str, ...] = (), connections: int = 100, options: dict[str, str] | None = None
    ) -> None:
        self.folder, self.address, self.port = folder, address, port
        self._prefix, self._connections, self._options = prefix, connections, options or {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the server's files if there are none, start it, make the roles; returns when it takes connections."""
        if not self.folder.exists():
            self.folder.mkdir(mode=0o700)
            _own(self.folder)
            self._run("initdb", "-D", str(self.folder), "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C")
            with (self.folder / "pg_hba.conf").open("a") as rules:
                rules.write("host all all all scram-sha-256\n")
        options = {
            "listen_addresses": self.address,
            "port": self.port,
            "unix_socket_directories": self.folder,
            "max_connections": self._connections,
        } | self._options
        command = [*self._prefix, str(PROGRAMS / "postgres"), "-D", str(self.folder)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder.parent / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen(self._as_user(command), stdout=log, stderr=log, cwd="/")
        self._wait()
        if self.sql("SELECT pg_is_in_recovery()", "postgres") == "t":
            return
        self.sql(bootstrap_script(), "postgres")
        self.give_passwords()

    def give_passwords(self) -> None:
        """Give both login roles their passwords."""
        for role in ("rollhouse_app", "rollhouse_migrator"):
            self.sql(f"ALTER ROLE {role} PASSWORD '{PASSWORDS[role].replace(chr(39), chr(39) * 2)}'", "postgres")

    def copy_base(self, folder: Path) -> None:
        """A base backup of the running server, in a folder that is made."""
        self._run("pg_basebackup", "-D", str(folder), "-X", "stream", "-c", "fast", "-h", str(self.folder), "-p", str(self.port), "-U", "postgres")

    def make_database(self, name: str) -> None:
        """One more database of Rollhouse."""
        self.sql(bootstrap_script(), "postgres", "-v", f"database={name}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server; all data is on disk."""
        if self._process is not None:
            pid = int((self.folder / "postmaster.pid").read_text().split()[0])
            os.kill(pid, how)
            self._process.wait(30)
            self._process = None

    def url(self, role: str) -> str:
        """The URL of a role, without its password."""
        return f"postgresql://{role}@{self.address}:{self.port}/rollhouse"

    def sql(self, text: str, database: str = "rollhouse", *options: str) -> str:
        """What psql prints of a statement as the superuser, through the socket."""
        place = ("-h", str(self.folder), "-p", str(self.port), "-U", "postgres", database)
        return self._run("psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", *options, *place, stdin=text).strip()

    def _wait(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            asked = [str(PROGRAMS / "pg_isready"), "-q", "-h", str(self.folder), "-p", str(self.port)]
            if subprocess.run(asked, check=False, capture_output=True).returncode == 0:
                return
            assert time.monotonic() < deadline, (self.folder.parent / "postgres.log").read_text()[-2000:]
            time.sleep(0.05)

    def _run(self, program: str, *arguments: str, stdin: str = "") -> str:
        command = self._as_user([str(PROGRAMS / program), *arguments])
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, done.stderr
        return done.stdout

    @staticmethod
    def _as_user(command: list[str]) -> list[str]:
        """Postgres refuses to run as root."""
        if os.geteuid() != 0:
            return command
        _account()
        if command[0] == "nsenter":
            return [*command[:2], "setpriv", f"--reuid={SYSTEM_USER}", "--clear-groups", *command[2:]]
        return ["setpriv", f"--reuid={SYSTEM_USER}", "--clear-groups", *command]


class OutsideRedis:
    """A Redis that asks for a password."""

    def __init__(self, folder: Path, address: str, port: int, *, prefix: tuple[str, ...] = ()) -> None:
        self.folder, self.address, self.port, self._prefix = folder, address, port, prefix
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL without the password."""
        return f"redis://{self.address}:{self.port}/0"

    def start(self) -> None:
        """Start it; returns when it takes connections."""
        self.folder.mkdir(exist_ok=True)
        settings = self.folder / "redis.conf"
        quoted = PASSWORDS["redis"].replace('"', '\\"')
        settings.write_text(f'bind {self.address}\nport {self.port}\nrequirepass "{quoted}"\nsave ""\ndir {self.folder}\n')
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([*self._prefix, "redis-server", str(settings)], stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while b"Ready to accept" not in (self.folder / "redis.log").read_bytes():
            assert time.monotonic() < deadline, (self.folder / "redis.log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


def _account() -> None:
    subprocess.run(["/usr/sbin/useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER], check=False, capture_output=True)


def _own(folder: Path) -> None:
    if os.geteuid() == 0:
        _account()
        subprocess.run(["chown", SYSTEM_USER, str(folder)], check=True)


def is_listening(address: str, port: int) -> bool:
    """Whether something takes connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0
