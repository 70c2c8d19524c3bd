"""A SCIM body as the request log keeps it: what no client may ever see again is blanked, other people's names in it are left out."""

import re
from typing import Any

import msgspec

from rollhouse.scim.messages import encode
from rollhouse.scim.schemas import RESOURCE_TYPES, Attribute

BODY_CHARACTERS_LIMIT = 16 * 1024
"""Characters of a body that are kept."""
PARSED_BYTES_LIMIT = 256 * 1024
"""A larger body is not parsed, only counted."""
BLANK = "[redacted]"


def _never_shown(attributes: tuple[Attribute, ...]) -> set[str]:
    found = {one.key for one in attributes if one.returned == "never" or one.mutability == "writeOnly"}
    return found.union(*(_never_shown(one.sub_attributes) for one in attributes)) if attributes else found


_HIDDEN = frozenset().union(*(_never_shown(schema.attributes) for known in RESOURCE_TYPES for schema in (known.schema, *known.extensions)))
"""Names of attributes whose values are write-only or never returned, in lower case: `password`."""
_NAMES_HIDDEN = re.compile(rf"\b(?:{'|'.join(sorted(_HIDDEN))})\b", re.IGNORECASE)
_ONE_NAME = re.compile(rf"(?:urn:[A-Za-z0-9:.]{{1,200}}:)?(?:{'|'.join(sorted(_HIDDEN))})", re.IGNORECASE)
_ABOUT = frozenset(("op", "path", "schemas", "status", "scimtype"))
"""What is kept of an object that names such an attribute in any of its values."""
_PROSE = frozenset(("detail",))
"""Values that are sentences of ours; they are blanked alone."""
_OTHERS = {"members": frozenset({"display"}), "manager": frozenset({"displayname", "display"}), "groups": frozenset({"display"})}
"""Parts of a resource that name somebody else: they would outlive his deletion."""


_SUSPECTS = (b"\\", *sorted(name.encode() for name in {*_HIDDEN, *_OTHERS}))
"""One of these a body of plain letters must hold, in any case of letters, if anything in it is to be changed: a name, or an escape that may hide one."""


def redact(body: bytes) -> tuple[str | None, Any]:
    """What is kept of a body, and the body itself as a value; no text without a body, no value when it is not JSON or over 256 KiB.

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
    try:
        # Most bodies name nothing that is to be changed, and are not walked and written anew.
        text = body.decode() if _is_plain(body) else encode(_without_secrets(value)).decode()
    except RecursionError:
        return f"({len(body)} bytes, nested too deep)", None
    return (text if len(text) <= BODY_CHARACTERS_LIMIT else text[:BODY_CHARACTERS_LIMIT] + "..."), value


def _is_plain(body: bytes) -> bool:
    lowered = body.lower()
    return body.isascii() and not any(one in lowered for one in _SUSPECTS)


def without_questions(text: str) -> str:
    """The text, blanked whole if it names an attribute that nobody may see: a filter on it holds a value of it."""
    return BLANK if _NAMES_HIDDEN.search(text) else text


def outline(value: Any) -> Any:
    """The value with the same names in the same places, and nothing else of it."""
    if isinstance(value, list):
        return [outline(one) for one in value]
    return {name: outline(inner) for name, inner in value.items()} if isinstance(value, dict) else BLANK


def _name_only(value: Any) -> Any:
    """The name of an attribute if that is all there is; a longer text that names one that nobody may see is blanked."""
    return value if isinstance(value, str) and (_ONE_NAME.fullmatch(value.strip()) or not _NAMES_HIDDEN.search(value)) else BLANK


def _without_secrets(value: Any, within: str = "") -> Any:
    if isinstance(value, list):
        return [_without_secrets(one, within) for one in value]
    if isinstance(value, str):
        return without_questions(value)
    if not isinstance(value, dict):
        return value
    members = {name.strip().lower(): inner for name, inner in value.items()}
    path = members.get("path", "")
    path = path if isinstance(path, str) else ""
    if any(isinstance(inner, str) and name not in _PROSE and _NAMES_HIDDEN.search(inner) for name, inner in members.items()):
        return {name: _name_only(inner) if name.strip().lower() in _ABOUT else BLANK for name, inner in value.items()}
    left_out = _OTHERS.get(within, frozenset())
    shown = {}
    for name, inner in value.items():
        key = name.strip().lower()
        leaf = key.rpartition(":")[2].partition("[")[0]
        if _NAMES_HIDDEN.search(name):
            shown[_name_only(name)] = BLANK
        elif key == "value" and path:
            target = path.lower().rpartition(":")[2].partition("[")[0]
            shown[name] = _without_secrets(inner, target.strip())
        elif key not in left_out:
            shown[name] = _without_secrets(inner, leaf)
    return shown
