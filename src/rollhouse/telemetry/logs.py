"""One JSON line per event on stderr: an event name, a time, and fields that never hold a name, an address or a secret."""

import sys
import traceback
from datetime import UTC, datetime

import msgspec

_encode = msgspec.json.Encoder().encode


def log(event: str, **fields: object) -> None:
    """Write one line; `fields` are ids, counts, codes and cures."""
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
    sys.stderr.buffer.write(_encode(line) + b"\n")
    sys.stderr.buffer.flush()


def log_fault(event: str, error: BaseException, **fields: object) -> None:
    """Write one line about a fault of ours: the exception's type and where it was raised, not its message, which may hold data."""
    cause = error.__cause__ or error
    frames = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(cause.__traceback__)[-6:]]
    log(event, error=type(cause).__name__, sqlstate=getattr(cause, "sqlstate", None), frames=frames, **fields)
