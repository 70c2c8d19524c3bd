"""Data under a URN that no schema declares: kept and given back as sent, so that the client finds it equal (L16)."""

import msgspec

from rollhouse.scim.attributes import Document, Op
from rollhouse.scim.errors import InvalidValue, quoted
from rollhouse.scim.values import Json, is_unassigned

OPAQUE_BYTES_LIMIT = 65_536
"""What the unknown extensions of one resource may weigh together, encoded."""
OPAQUE_CHANGES_LIMIT = 500
"""Unknown URNs that one request may name: each costs a look at the document's names."""


class OpaqueExtensions:
    """The unknown extensions of one document while a request changes it."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._changes = 0

    def change(self, op: Op, name: str, value: Json) -> bool:
        """Change the extension or the extension's attribute that `name` spells; whether it spells either.

        `name` is the extension's URN when the value is an object or the document has an extension of that name, else the
        part behind its last colon is the attribute: `urn:example:2.0:User:badge`.

        Raises:
            InvalidValue: the request names more than 500.
        """
        self._changes += 1
        if self._changes > OPAQUE_CHANGES_LIMIT:
            raise InvalidValue(f"The request names more than {OPAQUE_CHANGES_LIMIT} attributes of unknown extensions. Map fewer attributes.")
        whole = self._key_of(name) or (name if isinstance(value, dict) else None)
        if whole is not None:
            self._change_whole(op, whole, value)
            return True
        urn, _, attribute = name.rpartition(":")
        if ":" not in urn or not attribute:
            return False
        held = self._document.setdefault(self._key_of(urn) or urn, {})
        held.pop(attribute, None)
        if op != "remove" and not is_unassigned(value):
            held[attribute] = value
        return True

    def _key_of(self, urn: str) -> str | None:
        lowered = urn.lower()
        return next((key for key in self._document if len(key) == len(urn) and key.lower() == lowered), None)

    def _change_whole(self, op: Op, urn: str, value: Json) -> None:
        if op == "remove" or is_unassigned(value):
            self._document.pop(urn, None)
        elif isinstance(value, dict):
            self._document[urn] = {**self._document.get(urn, {}), **{name: part for name, part in value.items() if part is not None}}


def check_opaque(opaque: Document) -> None:
    """Hold the unknown extensions of a resource to their limit.

    Raises:
        InvalidValue: they weigh more than 65,536 bytes.
    """
    if opaque and len(msgspec.json.encode(opaque)) > OPAQUE_BYTES_LIMIT:
        raise InvalidValue(f"The extensions {quoted(', '.join(opaque))} are larger than {OPAQUE_BYTES_LIMIT} bytes. Map fewer attributes.")
