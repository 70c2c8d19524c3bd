"""One line per event on stderr, as JSON or in words: an event name, a time, and fields that never hold a name, an address or a secret."""

import asyncio
import sys
import time
import traceback
from datetime import UTC, datetime
from typing import Literal

import msgspec

Form = Literal["json", "console"]
FLUSH_SECONDS = 0.1
"""How long the line of a request may wait for others, to be written with them."""
WAITING_BYTES = 64 * 1024
_encode = msgspec.json.Encoder().encode


class _Lines:
    """The lines that wait, and the form they are written in; at most 64 KiB wait, at most 0.1 s."""

    def __init__(self) -> None:
        self.form: Form = "json"
        self._waiting: list[bytes] = []
        self._bytes = 0

    def add(self, line: bytes) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
        self._waiting.append(line)
        self._bytes += len(line)
        if self._bytes > WAITING_BYTES:
            self.flush()

    def flush(self) -> None:
        lines, self._waiting, self._bytes = self._waiting, [], 0
        if lines:
            sys.stderr.buffer.write(b"".join(lines))
            sys.stderr.buffer.flush()


_LINES = _Lines()


class RequestLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The line of one request that was answered: the route and never the path, the tenant only if its secret was right."""

    time: str
    event: str
    method: str
    route: str
    status: int
    milliseconds: float
    request_id: str
    trace_id: str
    tenant: str | None = None
    error: str | None = None


def write_in(form: Form) -> None:
    """Choose the form of all lines: `json` for programs, `console` for people."""
    _LINES.form = form


def log(event: str, **fields: object) -> None:
    """Write one line now, behind those that wait; `fields` are ids, counts, codes and cures."""
    _LINES.flush()
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = _words(now, event, fields) if _LINES.form == "console" else _encode({"time": now, "event": event, **fields}) + b"\n"
    sys.stderr.buffer.write(line)
    sys.stderr.buffer.flush()


def log_fault(event: str, error: BaseException, **fields: object) -> None:
    """Write one line about a fault of ours: the exception's type and where it was raised, not its message, which may hold data."""
    cause = error.__cause__ or error
    frames = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(cause.__traceback__)[-6:]]
    log(event, error=type(cause).__name__, sqlstate=getattr(cause, "sqlstate", None), frames=frames, **fields)


def log_request(method: str, route: str, status: int, seconds: float, *, request_id: str, trace_id: str, tenant: str | None, error: str | None) -> None:
    """Write the line of a request within 0.1 s, together with others: a write by itself costs as much as the line."""
    line = RequestLine(
        time=_now(),
        event="request",
        method=method,
        route=route,
        status=status,
        milliseconds=round(seconds * 1000, 2),
        request_id=request_id,
        trace_id=trace_id,
        tenant=tenant,
        error=error,
    )
    _LINES.add(_words_of(line) if _LINES.form == "console" else _encode(line) + b"\n")


def flush() -> None:
    """Write what waits."""
    _LINES.flush()


_second = (0, "")


def _now() -> str:
    """The time in UTC with milliseconds; the part up to the second is made once a second."""
    global _second  # noqa: PLW0603 - a cache of one text, which saves each request two microseconds
    now = time.time()
    whole = int(now)
    if _second[0] != whole:
        _second = (whole, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)))
    return f"{_second[1]}.{int((now - whole) * 1000):03}+00:00"


def _words_of(line: RequestLine) -> bytes:
    who = f" {line.tenant}" if line.tenant is not None else ""
    why = f" {line.error}" if line.error is not None else ""
    return f"{line.time[11:23]} {line.status} {line.method} {line.route}{who} {line.milliseconds} ms{why} [{line.request_id}]\n".encode()


def _words(now: str, event: str, fields: dict[str, object]) -> bytes:
    said = " ".join(f"{name}={value}" for name, value in fields.items() if value is not None and name != "frames")
    return f"{now[11:23]} {event} {said}\n".encode(errors="replace")
