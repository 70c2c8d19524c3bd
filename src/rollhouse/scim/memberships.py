"""What a request asks to do with a group's members: the net of all its operations, as sets of ids."""

import re

from rollhouse.scim import filters
from rollhouse.scim.attributes import Op, Target
from rollhouse.scim.errors import InvalidPath, InvalidValue, Mutability, PayloadTooLarge
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
    if value in (None, ""):
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


def change_members(change: MembershipChange, op: Op, target: Target, value: Json, noted: Noted) -> None:
    """Gather what one operation on the members asks for; `value` is None when there was none.

    Raises:
        InvalidPath: the filter does not pick members by their ids.
        InvalidValue: an element of the value is no member.
        Mutability: a part of a member other than its value is named (RFC 7643 section 4.2).
    """
    if target.reference.sub is not None and target.reference.sub.key != "value":
        raise Mutability("A member is added or removed whole; its parts cannot be changed.")
    if target.filter is not None:
        named = [term.value.text.lower() for term in _equal_values(target.filter)]
        if op == "remove":
            change.remove(named)
        elif target.reference.sub is not None and value not in (None, "", *named):
            raise Mutability("A member's value stays as it is; remove that member, and add the other one.")
        else:
            change.add(read_member_ids(value, noted) if value not in (None, "") else named)
    elif op == "remove" and value in (None, ""):
        change.replace([])
    elif op == "remove":
        noted.add(Tolerance.REMOVE_WITH_VALUE)
        change.remove(read_member_ids(value, noted))
    elif op == "replace":
        change.replace(read_member_ids(value, noted))
    else:
        change.add(read_member_ids(value, noted))


def _equal_values(tree: filters.Filter) -> list[filters.Comparison]:
    """The comparisons of `members[value eq "a" or value eq "b"]`, the only filters on members that clients send.

    Raises:
        InvalidPath: any other filter.
    """
    terms = tree.terms if isinstance(tree, filters.Disjunction) else (tree,)
    found = [term for term in terms if isinstance(term, filters.Comparison) and term.operator == "eq" and term.attribute.lower() == "value"]
    if len(found) < len(terms):
        raise InvalidPath('Members are picked by id only: members[value eq "<id>"], joined by "or".')
    return found
