"""The Redis of `rollhouse dev --redis`: a real server found on the path, on a private Unix socket in the data dir, ended with `dev`."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.exceptions import RedisError

from rollhouse.cli.embedded import SOCKET_BYTES_LIMIT, SYSTEM_USER
from rollhouse.cli.invocation import Precondition

PROGRAM = "redis-server"
START_SECONDS = 10.0
STOP_SECONDS = 2.0
MEMORY = "64mb"
"""All that it may hold: some hundred thousand counts, the least recently used forgotten first."""


class RedisServer:
    """A Redis server whose socket and log lie in `folder`. It keeps nothing on disk: a count of requests is worth nothing after a restart."""

    def __init__(self, folder: Path, program: Path) -> None:
        self.folder = folder
        self.socket = folder / "redis.sock"
        self._program = program
        self._pid_file = folder / "redis.pid"
        self._user = SYSTEM_USER if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL by which the service reaches the server."""
        return f"unix://{quote(str(self.socket))}"

    def prepare(self) -> None:
        """Make the folder and the user it belongs to, and nothing else yet.

        Raises:
            Precondition: the folder cannot be used.
        """
        if len(os.fsencode(self.socket)) > SOCKET_BYTES_LIMIT:
            raise Precondition(f"The path of Redis's socket would be longer than {SOCKET_BYTES_LIMIT} bytes: {self.socket}. Choose a shorter --data-dir.")
        try:
            self.folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self.folder.chmod(0o700)
            if self._user is not None:
                account = _account(self._user)
                os.chown(self.folder, account.pw_uid, account.pw_gid)
        except OSError as error:
            raise Precondition(f"{error.filename} cannot be used as part of the data dir: {error.strerror}. Choose another --data-dir.") from None

    def start(self) -> None:
        """End the server that a killed `dev` left here, and start a new one.

        Raises:
            Precondition: the server does not start.
        """
        self.stop()
        self.socket.unlink(missing_ok=True)
        with (self.folder / "server.log").open("ab") as output:
            self._process = subprocess.Popen(
                [str(self._program), *self._options()],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                user=self._user,
                group=_account(self._user).pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
                cwd="/",
                start_new_session=True,  # Ctrl-C reaches `dev`, which ends it after the service
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise Precondition(f"Redis did not start; the last lines of {self.folder / 'server.log'} say why. Mend it, or leave out --redis.")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server, within four seconds even if it hangs."""
        pid = self._running_pid()
        if pid is None:
            return
        for stop_signal in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, stop_signal)
            if self._has_ended():
                break
        self._process = None

    def _options(self) -> list[str]:
        """No port, so nobody outside; a socket for its own user alone; no file of data; a bound on memory that never refuses a write."""
        return [
            *("--port", "0"),
            *("--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--save", "", "--appendonly", "no"),
            *("--dir", str(self.folder), "--pidfile", str(self._pid_file)),
            *("--maxmemory", MEMORY, "--maxmemory-policy", "allkeys-lru"),
        ]

    def _answers(self) -> bool:
        try:
            with Redis(unix_socket_path=str(self.socket), socket_timeout=1, socket_connect_timeout=1) as redis:
                return bool(redis.ping())
        except (RedisError, OSError):
            return False

    def _has_ended(self) -> bool:
        deadline = time.monotonic() + STOP_SECONDS
        while self._running_pid() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def _running_pid(self) -> int | None:
        """The server's process id: of the one started here, or of the one named in the folder if it is alive and listens on this socket."""
        if self._process is not None:
            return self._process.pid if self._process.poll() is None else None
        try:
            pid = int(self._pid_file.read_text())
            return pid if os.fsencode(self.socket) in Path(f"/proc/{pid}/cmdline").read_bytes() else None
        except (OSError, ValueError):
            return None


def _account(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        subprocess.run(["/usr/sbin/useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name], check=True, capture_output=True)
        return pwd.getpwnam(name)


def redis_program() -> Path:
    """Where the program of the server lies: beside this Python, where pip puts programs, or on the path.

    Raises:
        Precondition: there is none.
    """
    beside = str(Path(sys.executable).parent)
    found = shutil.which(PROGRAM, path=os.pathsep.join([beside, os.environ.get("PATH", os.defpath)]))
    if found is None:
        raise Precondition(
            f"--redis needs the program {PROGRAM}, which is not on the path. "
            "Install Redis (on Debian: apt-get install redis-server), or set ROLLHOUSE_REDIS_URL, or leave out --redis."
        )
    return Path(found)
