"""New ids: UUIDs of version 7 (RFC 9562), whose order is the order of creation."""

import os
import time
from datetime import datetime
from uuid import UUID


def new_id() -> UUID:
    """48 bits of milliseconds, 12 bits of a millisecond's parts, 62 random bits."""
    nanoseconds = time.time_ns()
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    fraction = rest * 4096 // 1_000_000
    random = int.from_bytes(os.urandom(8)) & ((1 << 62) - 1)
    return UUID(int=(milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random)


def id_at(moment: datetime) -> UUID:
    """An id that stands before all that were made since that moment, and behind all older ones."""
    return UUID(int=int(moment.timestamp() * 1000) << 80 | 0x7 << 76 | 0b10 << 62)
