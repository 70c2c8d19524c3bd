"""`rollhouse serve`: one server process with one worker (scale by processes)."""

import os
import socket
import time
from typing import Any

import click
import msgspec
from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings

from rollhouse.cli.invocation import PRECONDITION, Invocation, Precondition, command, pass_invocation
from rollhouse.cli.root import rollhouse
from rollhouse.http.lifeline import announce_end
from rollhouse.settings import PREFIX, Settings

END_SECONDS = 18
"""After the drain, for requests under way (8.25 s at most), the request log's last rows (3 s), connections and traces."""
QUICK_END_SECONDS = 8
"""The same where nobody waits for a drain: a person who has pressed Ctrl-C."""
_TO_STDERR = {"formatter": "generic", "class": "logging.StreamHandler", "stream": "ext://sys.stderr"}


@command(rollhouse, "serve", example="rollhouse serve --host 0.0.0.0 --port 8080 --metrics-port 9090")
@click.option("--host", help="Address to listen on [default: 127.0.0.1].")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of SCIM and the probes [default: 8080].")
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Port of /metrics [default: 9090].")
@pass_invocation
def serve(invocation: Invocation, host: str | None, port: int | None, metrics_port: int | None) -> None:
    """Serve SCIM. Needs ROLLHOUSE_DATABASE_URL, ROLLHOUSE_PEPPERS and ROLLHOUSE_PUBLIC_URL, or the data dir of a running `rollhouse dev`."""
    settings = invocation.settings
    serve_until_stopped(with_address(settings, host, port, metrics_port))


def with_address(settings: Settings, host: str | None, port: int | None, metrics_port: int | None) -> Settings:
    """The settings with the address options that were given."""
    given = {"host": host, "port": port, "metrics_port": metrics_port}
    return msgspec.structs.replace(settings, **{name: value for name, value in given.items() if value is not None})


def serve_until_stopped(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are finished.

    This process stays small: what serves is loaded by its worker, which refuses settings that cannot be used with a message of its own.

    Raises:
        Precondition: a port is taken.
        SystemExit: the worker ended; 3 where a setting is missing or malformed.
    """
    if settings.port == settings.metrics_port:
        raise click.UsageError(f"--port and --metrics-port are both {settings.port}; give two ports.")
    for port in (settings.port, settings.metrics_port):
        require_free(settings.host, port)
    for name in Settings.__struct_fields__:
        value = getattr(settings, name)
        if value is not None:
            os.environ[PREFIX + name.upper()] = str(value)
    _Server(
        "rollhouse.http.app:create_app",
        drain_seconds=settings.drain_seconds,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,  # in "auto" a connection that sends nothing is never ended, and HTTP/2 takes 16 MiB of headers
        loop=Loops.uvloop,
        workers=1,
        factory=True,
        websockets=False,
        log_access=False,
        log_level="warning",
        log_dictconfig={"handlers": dict.fromkeys(("console", "access"), _TO_STDERR)},
        http1_settings=HTTP1Settings(header_read_timeout=settings.keep_alive_seconds * 1000),  # it runs between two requests too
        end_seconds=END_SECONDS if settings.drain_seconds else QUICK_END_SECONDS,
    ).serve()


class _Server(Granian):  # type: ignore[misc, valid-type]
    """The server, which tells its worker of the end, and lets it drain, before it asks it to stop."""

    def __init__(self, target: str, *, drain_seconds: int, end_seconds: int, **settings: Any) -> None:
        super().__init__(target, workers_kill_timeout=end_seconds, **settings)
        self._drain_seconds = drain_seconds
        self._end_seconds = end_seconds

    def shutdown(self, exit_code: int = 0) -> None:
        """Stop the worker after the drain, which a second signal cuts short, and this process."""
        announce_end()
        if self.interrupt_signal:
            self.main_loop_interrupt.clear()
            self.main_loop_interrupt.wait(self._drain_seconds)
        was_refused = any(worker.inner.exitcode == PRECONDITION for worker in self.wrks)
        super().shutdown(PRECONDITION if was_refused else exit_code)

    def _stop_workers(self) -> None:
        """Ask the worker to stop, and wait for it.

        A thread of the server's own waits for the worker, too. Where that one learns of the end first and the machine is busy, the server takes
        the worker for one that lives on, says that it was killed, and kills what by then may be another process.
        """
        for worker in self.wrks:
            worker.terminate()
        until = time.monotonic() + self._end_seconds
        while any(worker.is_alive() for worker in self.wrks) and time.monotonic() < until:
            time.sleep(0.005)
        self.workers_kill_timeout = max(until - time.monotonic(), 0.001)
        super()._stop_workers()


def require_free(host: str, port: int) -> None:
    """Check that a port can be listened on.

    Raises:
        Precondition: something listens on it already.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Precondition(f"The port {port} on {host} cannot be used: {error.strerror}. Choose another with --port or --metrics-port.") from None
