"""Data under a URN that no schema declares: kept and given back as sent, so that the client finds it equal (L16)."""

import msgspec

from rollhouse.scim.attributes import Document, Op
from rollhouse.scim.errors import InvalidValue, quoted
from rollhouse.scim.values import Json, is_unassigned

OPAQUE_BYTES_LIMIT = 65_536
"""What the unknown extensions of one resource may weigh together, encoded."""


def change_opaque(document: Document, op: Op, name: str, value: Json) -> bool:
    """Change the extension or the extension's attribute that `name` spells; whether it spells either.

    `name` is the extension's URN when the value is an object or the document has an extension of that name, else the
    part behind its last colon is the attribute: `urn:example:2.0:User:badge`.
    """
    whole = next((key for key in document if key.lower() == name.lower()), name if isinstance(value, dict) else None)
    if whole is not None:
        _change_whole(document, op, whole, value)
        return True
    urn, _, attribute = name.rpartition(":")
    if urn.count(":") < len(("urn", "namespace")) - 1 or not attribute:
        return False
    key = next((key for key in document if key.lower() == urn.lower()), urn)
    held = {part: content for part, content in document.get(key, {}).items() if part != attribute}
    if op != "remove" and not is_unassigned(value):
        held[attribute] = value
    document[key] = held
    return True


def _change_whole(document: Document, op: Op, urn: str, value: Json) -> None:
    if op == "remove" or is_unassigned(value):
        document.pop(urn, None)
    elif isinstance(value, dict):
        document[urn] = {**document.get(urn, {}), **{name: part for name, part in value.items() if part is not None}}


def check_opaque(opaque: Document) -> None:
    """Hold the unknown extensions of a resource to their limit.

    Raises:
        InvalidValue: they weigh more than 65,536 bytes.
    """
    if opaque and len(msgspec.json.encode(opaque)) > OPAQUE_BYTES_LIMIT:
        raise InvalidValue(f"The extensions {quoted(', '.join(opaque))} are larger than {OPAQUE_BYTES_LIMIT} bytes. Map fewer attributes.")
