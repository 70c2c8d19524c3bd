"""A filter whose names are looked up and whose values are folded: what the matcher evaluates and the directory turns into SQL."""

import re
from collections.abc import Container, Sequence
from typing import Any, Literal, Protocol

import msgspec

from rollhouse.scim import filters
from rollhouse.scim.comparison import Comparable, path_of
from rollhouse.scim.errors import InvalidFilter, quoted
from rollhouse.scim.filters import Operator, Value
from rollhouse.scim.keys import fold_date_time, fold_text, read_number
from rollhouse.scim.schemas import Attribute, Reference, ResourceType

Kind = Literal["text", "number", "boolean", "moment"]
Source = Literal["document", "id", "type", "created", "lastmodified", "memberships", "derived"]

_KINDS: dict[str, Kind] = {"boolean": "boolean", "integer": "number", "decimal": "number", "dateTime": "moment"}
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_ORDERED = frozenset({"gt", "ge", "lt", "le"})
_EQUAL = frozenset({"eq", "ne"})
_ALLOWED: dict[Kind, frozenset[str]] = {
    "text": frozenset({"co", "sw", "ew"}) | _ORDERED | _EQUAL,
    "number": _ORDERED | _EQUAL,
    "moment": _ORDERED | _EQUAL,
    "boolean": _EQUAL,
}


class Field(msgspec.Struct, frozen=True):
    """Where a compared value stands in the comparable form: `container` (a list if `multi`), then `leaf` (a list if `multi_leaf`) inside it.

    `source` says what the directory keeps it in; `index` is the name of its index when it has one, and the resource type's of `type`.
    """

    container: tuple[str, ...]
    leaf: str | None = None
    multi: bool = False
    multi_leaf: bool = False
    kind: Kind = "text"
    source: Source = "document"
    index: str | None = None


class Compared(msgspec.Struct, frozen=True):
    """One value compared by an operator other than `ne`, which is the inversion of `eq`."""

    field: Field
    operator: Operator
    value: str | bool | float


class Present(msgspec.Struct, frozen=True):
    """The attribute has a value (RFC 7644 table 3, `pr`)."""

    field: Field


class Element(msgspec.Struct, frozen=True):
    """One element of a complex attribute meets the condition; fields inside are relative to the element."""

    container: Field
    condition: "Condition"


class All(msgspec.Struct, frozen=True):
    """Every term is met."""

    terms: tuple["Condition", ...]


class AnyOf(msgspec.Struct, frozen=True):
    """At least one term is met."""

    terms: tuple["Condition", ...]


class Not(msgspec.Struct, frozen=True):
    """The term is not met; an absent attribute meets `not (attribute eq "x")`."""

    term: "Condition"


Condition = Compared | Present | Element | All | AnyOf | Not

ALWAYS, NEVER = All(()), AnyOf(())
"""What every resource meets, and what none does."""


class _Lacking(Exception):
    """A resource type lacks an attribute that another one has: in a query over several types it has no value there."""


def resolve_filter(resource_type: ResourceType, tree: filters.Filter, *, among: Sequence[ResourceType] = ()) -> Condition:
    """The condition that a filter states about resources of this type; an attribute that only another one `among` these has counts as absent.

    Raises:
        InvalidFilter: an attribute that no type in question has, or a value or operator that does not fit it.
    """
    return _resolve(tree, _ResourceScope(resource_type, among))


_ID = Field(("id",), source="id")


def resolve_value_filter(attribute: Attribute, tree: filters.Filter) -> Condition:
    """The condition that a value filter states about one element of `attribute`; fields are relative to the element.

    Raises:
        InvalidFilter: as `resolve_filter`.
    """
    return _resolve(tree, _ElementScope(attribute))


def field_of(resource_type: ResourceType, name: str, *, among: Sequence[ResourceType] = ()) -> Field:
    """Where the attribute `name`, as written in sortBy, stands; what all resources of a type share, or lack, leaves them in order of id.

    Raises:
        InvalidFilter: the type has no such attribute, or it has no single comparable value.
    """
    try:
        field = _ResourceScope(resource_type, among).value(name)[0]
    except _Lacking:
        return _ID
    return _ID if field.source == "type" else field


def matches(condition: Condition, compared: Comparable) -> bool:
    """Whether a document in comparable form meets the condition; the oracle of the SQL that the directory makes of it."""
    match condition:
        case Compared(field, operator, value):
            return any(_compare(operator, found, value) for found in _found(field, compared))
        case Present(field):
            return any(_is_present(found) for found in _found(field, compared))
        case Element(container, inner):
            return any(matches(inner, element) for element in _found(container, compared))
        case All(terms):
            return all(matches(term, compared) for term in terms)
        case AnyOf(terms):
            return any(matches(term, compared) for term in terms)
        case Not(term):
            return not matches(term, compared)


class _Scope(Protocol):
    """What names mean at one place of a filter: at the resource, or inside the brackets of a value filter."""

    def value(self, name: str) -> tuple[Field, Attribute]:
        """The comparable value that a name stands for, and its declaration."""

    def presence(self, name: str) -> Field:
        """What must not be empty for `name pr`."""

    def element(self, name: str) -> tuple[Field, "_ElementScope"]:
        """The complex attribute whose elements a value filter looks at, and what names mean inside its brackets."""


class _ResourceScope:
    def __init__(self, resource_type: ResourceType, among: Sequence[ResourceType] = ()) -> None:
        self.resource_type = resource_type
        self.among = among

    def find(self, name: str) -> Reference:
        found = _found_in(self.resource_type, name)
        if found is None and any(_found_in(other, name) is not None for other in self.among):
            raise _Lacking
        if found is None or found.attribute.returned == "never":
            raise InvalidFilter(f"{quoted(name)} is not an attribute of {self.resource_type.name} that can be filtered on.")
        return found

    def value(self, name: str) -> tuple[Field, Attribute]:
        found = self.find(name)
        if found.leaf.type == "complex":
            value = found.attribute.sub("value")
            if found.sub is not None or value is None:
                raise InvalidFilter(
                    f"{quoted(name)} has several parts; name the one to compare, such as {found.attribute.name}.{found.attribute.sub_attributes[0].name}."
                )
            found = Reference(found.urn, found.attribute, value)
        return self.field(found), found.leaf

    def presence(self, name: str) -> Field:
        return self.field(self.find(name))

    def element(self, name: str) -> tuple[Field, "_ElementScope"]:
        found = self.find(name)
        if found.sub is not None or not (found.attribute.type == "complex" or found.attribute.multi_valued):
            raise InvalidFilter(f"{quoted(name)} has no parts, so it takes no filter in brackets.")
        field = self.field(found)
        if field.source != "document":
            raise InvalidFilter(f'{quoted(name)} takes no filter in brackets; compare it directly, as in: {name} eq "<id>".')
        return field, _ElementScope(found.attribute, found.index_name, self.resource_type.index_paths)

    def field(self, found: Reference) -> Field:
        source: Source = "document"
        attribute = found.attribute.key
        if attribute == "id":
            source = "id"
        elif attribute == "meta":
            if found.sub is not None and found.sub.key == "resourcetype":
                return Field(path_of(None, found.attribute), "resourcetype", source="type", index=self.resource_type.name)
            if found.sub is None or found.sub.key not in ("created", "lastmodified"):
                raise InvalidFilter("Of meta, only resourceType, created and lastModified can be filtered on.")
            source = "created" if found.sub.key == "created" else "lastmodified"
        elif found.urn is None and attribute in (self.resource_type.memberships, self.resource_type.derived):
            if found.sub is not None and found.sub.key != "value":
                raise InvalidFilter(f"Of {found.attribute.name}, only the value can be filtered on.")
            source = "memberships" if attribute == self.resource_type.memberships else "derived"
        name = found.index_name
        return Field(
            container=path_of(found.urn, found.attribute),
            leaf=found.sub.key if found.sub else None,
            multi=found.attribute.multi_valued,
            multi_leaf=found.sub is not None and found.sub.multi_valued,
            kind=_KINDS.get(found.leaf.type, "text"),
            source=source,
            index=name if name in self.resource_type.index_paths else None,
        )


def _found_in(resource_type: ResourceType, name: str) -> Reference | None:
    urn, rest = resource_type.split_urn(name)
    attribute, _, sub = rest.partition(".")
    return resource_type.find(urn, attribute, sub or None)


class _ElementScope:
    def __init__(self, attribute: Attribute, index_name: str = "", indexed: Container[str] = ()) -> None:
        self.attribute = attribute
        self.index_name = index_name
        self.indexed = indexed

    def value(self, name: str) -> tuple[Field, Attribute]:
        if self.attribute.type != "complex" and self.attribute.multi_valued and name.lower() == "value":  # the element itself (RFC 7643 section 2.4)
            return Field(container=(), kind=_KINDS.get(self.attribute.type, "text")), self.attribute
        sub = self.attribute.sub(name)
        if sub is None or sub.type == "complex":
            raise InvalidFilter(f"{self.attribute.name} has no part {quoted(name)} to compare.")
        index = f"{self.index_name}.{sub.key}"
        kind = _KINDS.get(sub.type, "text")
        return Field(container=(), leaf=sub.key, multi_leaf=sub.multi_valued, kind=kind, index=index if index in self.indexed else None), sub

    def presence(self, name: str) -> Field:
        return self.value(name)[0]

    def element(self, name: str) -> tuple[Field, "_ElementScope"]:
        raise InvalidFilter(f"A filter in brackets cannot contain another one, as after {quoted(name)}.")


def _resolve(tree: filters.Filter, scope: _Scope) -> Condition:
    match tree:
        case filters.Comparison() | filters.Presence() | filters.Grouped():
            try:
                return _resolve_term(tree, scope)
            except _Lacking:
                is_inverted = isinstance(tree, filters.Comparison) and (tree.operator == "ne") != (tree.value.parsed is None)
                return ALWAYS if is_inverted else NEVER
        case filters.Conjunction(terms):
            return All(tuple(_resolve(term, scope) for term in terms))
        case filters.Disjunction(terms):
            return AnyOf(tuple(_resolve(term, scope) for term in terms))
        case filters.Inversion(term):
            return Not(_resolve(term, scope))


def _resolve_term(tree: filters.Comparison | filters.Presence | filters.Grouped, scope: _Scope) -> Condition:
    match tree:
        case filters.Comparison(attribute, operator, value):
            field, leaf = scope.value(attribute)
            return _comparison(attribute, field, leaf, operator, value)
        case filters.Presence(attribute):
            field = scope.presence(attribute)
            return ALWAYS if field.source == "type" else Present(field)
        case filters.Grouped(attribute, inner):
            container, inside = scope.element(attribute)
            return Element(container, _resolve(inner, inside))


def _comparison(name: str, field: Field, leaf: Attribute, operator: Operator, value: Value) -> Condition:
    if operator not in _ALLOWED[field.kind] and not (value.parsed is None and operator in _EQUAL):
        raise InvalidFilter(f"{operator} does not apply to {quoted(name)}, which is of type {leaf.type}.")
    if leaf.type == "binary" and operator in _ORDERED:
        raise InvalidFilter(f"{operator} does not apply to {quoted(name)}, which is binary (RFC 7644 table 3).")
    if value.parsed is None:
        if operator not in _EQUAL:
            raise InvalidFilter(f"null can only be compared by eq and ne, not by {operator}.")
        return Not(Present(field)) if operator == "eq" else Present(field)
    folded = _fold_value(name, field.kind, leaf, value)
    if field.source == "type":
        return ALWAYS if _compare("eq" if operator == "ne" else operator, field.index, folded) != (operator == "ne") else NEVER
    if leaf.key == "primary" and field.kind == "boolean" and field.leaf is not None and folded is False:
        return _not_primary(field, operator)
    return Not(Compared(field, "eq", folded)) if operator == "ne" else Compared(field, operator, folded)


def _not_primary(field: Field, operator: Operator) -> Condition:
    """`primary eq false` and its inversion: an element that does not say is not the primary one (RFC 7643 section 2.4)."""
    inside = Field((), field.leaf, kind="boolean")
    found: Condition = Not(Compared(inside, "eq", value=True))
    if field.container:
        found = Element(Field(field.container, multi=field.multi), found)
    return Not(found) if operator == "ne" else found


def _fold_value(name: str, kind: Kind, leaf: Attribute, value: Value) -> str | bool | float:
    if kind == "text":
        if _UNSTORABLE.search(value.text):
            raise InvalidFilter(f"The value compared with {quoted(name)} contains a character that no stored text can hold.")
        return fold_text(value.text, case_exact=leaf.is_exact)
    if kind == "boolean":
        wanted = value.text.lower()
        if wanted in ("true", "false"):
            return wanted == "true"
    elif kind == "moment":
        if (moment := fold_date_time(value.text)) is not None:
            return moment
    else:
        number = read_number(value.text)
        if number is not None:
            return float(number)
    raise InvalidFilter(f"{quoted(value.text)} cannot be compared with {quoted(name)}, which is of type {leaf.type}.")


def _found(field: Field, node: Any) -> list[Any]:
    for step in field.container:
        node = node.get(step) if isinstance(node, dict) else None
    nodes = node if isinstance(node, list) else [node]
    if field.leaf is not None:
        leaves = [element.get(field.leaf) for element in nodes if isinstance(element, dict)]
        nodes = [one for leaf in leaves for one in (leaf if isinstance(leaf, list) else [leaf])]
    return [found for found in nodes if found is not None]


def _is_present(value: Any) -> bool:
    return value not in ("", [], {}) or value is False


def _compare(operator: Operator, found: Any, wanted: Any) -> bool:
    if isinstance(found, str) != isinstance(wanted, str) or isinstance(found, bool) != isinstance(wanted, bool):
        return False
    match operator:
        case "eq":
            return bool(found == wanted)
        case "co":
            return wanted in found
        case "sw":
            return bool(found.startswith(wanted))
        case "ew":
            return bool(found.endswith(wanted))
        case "gt":
            return bool(found > wanted)
        case "ge":
            return bool(found >= wanted)
        case "lt":
            return bool(found < wanted)
        case _:
            return bool(found <= wanted)
