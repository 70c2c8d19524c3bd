"""The normal form in which values are compared: the one place where "equal" is decided for text, dates and numbers."""

import hashlib
import re
import unicodedata
from datetime import UTC, datetime

import msgspec

Scalar = str | bool | float

KEY_BYTES_LIMIT = 512
"""A longer key is stored as its first 448 bytes and a SHA-256, because a btree row holds 2,704 bytes at most."""
_KEY_HEAD_BYTES = 448
_DATE_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")


def fold_text(text: str, *, case_exact: bool) -> str:
    """The text as it is compared: unchanged if `case_exact`, else NFKC, casefold, NFKC (RFC 7643 section 2.2, RFC 8265).

    Idempotent; `STRASSE` and `straße`, `ﬁ` and `fi`, the Kelvin sign and `k` compare equal, homoglyphs do not.
    """
    if case_exact:
        return text
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    # A second round settles the few characters whose fold composes into something that folds again.
    return unicodedata.normalize("NFKC", folded.casefold())


def index_key(folded: str) -> str:
    """The form of a folded text that an index holds: itself, or its first 448 bytes + SHA-256 when over 512 bytes."""
    encoded = folded.encode()
    if len(encoded) <= KEY_BYTES_LIMIT:
        return folded
    head = encoded[:_KEY_HEAD_BYTES].decode(errors="ignore")
    return head + hashlib.sha256(encoded).hexdigest()


def index_text(value: Scalar) -> str:
    """The text under which an index holds a comparable value; numbers that are equal have the same."""
    if isinstance(value, str):
        return index_key(value)
    return ("true" if value else "false") if isinstance(value, bool) else repr(float(value) + 0.0)  # + 0.0 makes -0.0 zero


def fold_date_time(text: str) -> str | None:
    """An RFC 3339 dateTime as UTC text of fixed width (`2026-01-23T04:56:22.000000Z`), or None when it is none.

    Fixed width makes text order equal time order (RFC 7643 section 2.3.5).
    """
    if _DATE_TIME.match(text) is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
    except OverflowError:
        return None


def read_number(text: str) -> int | float | None:
    """The number that a text states in JSON's grammar, or None when it states none that a double can hold."""
    try:
        number: int | float = msgspec.json.decode(text, type=int | float)
        float(number)
    except (msgspec.DecodeError, UnicodeEncodeError, OverflowError):
        return None
    return number
