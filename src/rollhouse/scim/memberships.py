"""What a request asks to do with a group's members: the net of all its operations, as sets of ids."""

import re

from rollhouse.scim.errors import InvalidValue, PayloadTooLarge
from rollhouse.scim.tolerances import Noted, Tolerance
from rollhouse.scim.values import Json

MEMBERS_LIMIT = 10_000
"""Members named in one request; more go into several PATCHes."""
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class MembershipChange:
    """The members to add, those to remove, and whether all the others go too; later operations win over earlier ones."""

    def __init__(self) -> None:
        self.clears = False
        self.added: dict[str, None] = {}
        self.removed: dict[str, None] = {}
        self.named = 0

    def __bool__(self) -> bool:
        return self.clears or bool(self.added) or bool(self.removed)

    def add(self, ids: list[str]) -> None:
        """These become members."""
        self._count(ids)
        for member in ids:
            self.removed.pop(member, None)
            self.added[member] = None

    def remove(self, ids: list[str]) -> None:
        """These are members no longer."""
        self._count(ids)
        for member in ids:
            self.added.pop(member, None)
            self.removed[member] = None

    def replace(self, ids: list[str]) -> None:
        """These and nobody else are members."""
        self.clears = True
        self.added.clear()
        self.removed.clear()
        self.add(ids)

    def _count(self, ids: list[str]) -> None:
        self.named += len(ids)
        if self.named > MEMBERS_LIMIT:
            raise PayloadTooLarge(f"The request names more than {MEMBERS_LIMIT} members. Send them in several PATCH requests.")


def is_resource_id(text: str) -> bool:
    """Whether the text has the form of an id that this service gives (a lower-case UUID); any other names nobody."""
    return _ID.fullmatch(text) is not None


def read_member_ids(value: Json, noted: Noted) -> list[str]:
    """The ids in a members value: objects with `value`, bare ids, or one of either (L11).

    Raises:
        InvalidValue: an element is neither.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        noted.add(Tolerance.VALUE_SHAPE)
        value = [value]
    ids = []
    for element in value:
        member = element
        if isinstance(element, dict):
            member = next((part for name, part in element.items() if name.lower() == "value"), None)
        elif isinstance(element, str):
            noted.add(Tolerance.VALUE_SHAPE)
        if not isinstance(member, str) or not member:
            raise InvalidValue('Each member must be an object with the id of a user or group in "value".')
        ids.append(member.lower())
    return ids
