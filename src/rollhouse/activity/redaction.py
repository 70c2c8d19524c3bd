"""A SCIM body as the request log keeps it: what no client may ever see again is blanked, other people's names in it are left out."""

import re
from functools import lru_cache
from typing import Any

import msgspec

from rollhouse.scim.messages import encode
from rollhouse.scim.registry import STANDARD

BODY_CHARACTERS_LIMIT = 16 * 1024
"""Characters of a body that are kept."""
OUTLINED_DEPTH = 50
"""Levels of an outline; a message of the protocol has nine."""
PARSED_BYTES_LIMIT = 256 * 1024
"""A larger body is not parsed, only counted."""
BLANK = "[redacted]"


class _Names(msgspec.Struct, frozen=True):
    """How the names of attributes that nobody may see are looked for in a text."""

    anywhere: re.Pattern[str]
    alone: re.Pattern[str]
    suspects: tuple[bytes, ...]
    """What a body of plain letters has somewhere if it holds such a name: the name itself, or the escape that may hide one: no other one is a letter."""


@lru_cache(maxsize=1000)
def _names(hidden: frozenset[str]) -> _Names:
    either = "|".join(re.escape(name) for name in sorted(hidden))
    suspects = (b"\\u", *sorted(name.encode() for name in hidden))
    # The edges of a name by the grammar of RFC 7643 section 2.1, in which - and $ are parts of names.
    return _Names(
        re.compile(rf"(?<![\w$-])(?:{either})(?![\w$-])", re.IGNORECASE), re.compile(rf"(?:urn:[A-Za-z0-9:.]{{1,200}}:)?(?:{either})", re.IGNORECASE), suspects
    )


_ABOUT = frozenset(("op", "path", "schemas", "status", "scimtype"))
"""What is kept of an object that names such an attribute in any of its values."""
_PROSE = frozenset(("detail",))
"""Values that are sentences of ours; they are blanked alone."""
_OTHERS = {"members": frozenset({"display"}), "manager": frozenset({"displayname", "display"}), "groups": frozenset({"display"})}
"""Parts of a resource that name somebody else: they would outlive his deletion."""


def redact(body: bytes, hidden: frozenset[str] = STANDARD.hidden) -> tuple[str | None, Any]:
    """What is kept of a body in which nobody may see the attributes named `hidden`, and the body itself as a value.

    No text without a body, no value when it is not JSON or over 256 KiB.
    The text is JSON, cut at 16,384 characters, or a note of how large the body was.
    """
    if not body:
        return None, None
    if len(body) > PARSED_BYTES_LIMIT:
        return f"({len(body)} bytes, not kept)", None
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return f"({len(body)} bytes that are not JSON)", None
    names, lowered = _names(hidden), body.lower()
    is_open = body.isascii() and not any(one in lowered for one in names.suspects)
    try:
        # Most bodies name nothing that is to be changed, and are not walked and written anew; most others hide nothing, and are walked without looking.
        text = body.decode() if is_open and not _may_name_others(lowered) else encode(_without_secrets(value, None if is_open else names)).decode()
    except RecursionError:
        return f"({len(body)} bytes, nested too deep)", None
    return (text if len(text) <= BODY_CHARACTERS_LIMIT else text[:BODY_CHARACTERS_LIMIT] + "..."), value


def _may_name_others(lowered: bytes) -> bool:
    """Whether a body in lower case may hold a part that names somebody else: `display`, which is more than the beginning of `displayName`, or a manager."""
    return b"manager" in lowered or lowered.count(b"display") > lowered.count(b"displayname")


def without_questions(text: str, hidden: frozenset[str] = STANDARD.hidden) -> str:
    """The text, blanked whole if it names an attribute that nobody may see: a filter on it holds a value of it."""
    return BLANK if _names(hidden).anywhere.search(text) else text


def outline(value: Any, depth: int = OUTLINED_DEPTH) -> Any:
    """The value with the same names in the same places, down to a depth, and nothing else of it."""
    if depth and isinstance(value, list):
        return [outline(one, depth - 1) for one in value]
    return {name: outline(inner, depth - 1) for name, inner in value.items()} if depth and isinstance(value, dict) else BLANK


def _name_only(value: Any, names: _Names) -> Any:
    """The name of an attribute if that is all there is; a longer text that names one that nobody may see is blanked."""
    return value if isinstance(value, str) and (names.alone.fullmatch(value.strip()) or not names.anywhere.search(value)) else BLANK


def _without_secrets(value: Any, names: _Names | None, within: str = "") -> Any:
    """The value without what nobody may see, and without other people's names; `names` is None where it is known to hold no name of the former."""
    if isinstance(value, list):
        return [_without_secrets(one, names, within) for one in value]
    if isinstance(value, str):
        return BLANK if names is not None and names.anywhere.search(value) else value
    if not isinstance(value, dict):
        return value
    members = {name.strip().lower(): inner for name, inner in value.items()}
    path = members.get("path", "")
    path = path if isinstance(path, str) else ""
    if names is not None and any(isinstance(inner, str) and name not in _PROSE and names.anywhere.search(inner) for name, inner in members.items()):
        return {name: _name_only(inner, names) if name.strip().lower() in _ABOUT else BLANK for name, inner in value.items()}
    left_out = _OTHERS.get(within, frozenset())
    shown = {}
    for name, inner in value.items():
        key = name.strip().lower()
        leaf = key.rpartition(":")[2].partition("[")[0]
        if names is not None and names.anywhere.search(name):
            shown[_name_only(name, names)] = BLANK
        elif key == "value" and path:
            target = path.lower().rpartition(":")[2].partition("[")[0]
            shown[name] = _without_secrets(inner, names, target.strip())
        elif key not in left_out:
            shown[name] = _without_secrets(inner, names, leaf)
    return shown
