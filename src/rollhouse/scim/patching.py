"""The PATCH engine (RFC 7644 section 3.5.2) and, as additions to an empty document, the reading of POST and PUT bodies."""

import re
from typing import Any, Literal

import msgspec

from rollhouse.scim import filters
from rollhouse.scim.comparison import comparable_element
from rollhouse.scim.conditions import Condition, matches, resolve_value_filter
from rollhouse.scim.errors import InvalidFilter, InvalidPath, InvalidValue, Mutability, NoTarget, quoted
from rollhouse.scim.filters import Path, parse_path
from rollhouse.scim.memberships import MembershipChange, read_member_ids
from rollhouse.scim.schemas import COMMON, Reference, ResourceType
from rollhouse.scim.tolerances import Noted, Tolerance
from rollhouse.scim.values import Json, demote_primaries, is_unassigned, read_value, read_values

OPAQUE_BYTES_LIMIT = 65_536
"""What the unknown extensions of one resource may weigh together, encoded (L16)."""

Document = dict[str, Any]
Op = Literal["add", "replace", "remove"]
_TOMBSTONE = re.compile(r"[0-9a-f]{32}")


class Operation(msgspec.Struct, frozen=True):
    """One PATCH operation; `value` is UNSET when the client sent none."""

    op: Op
    path: str | None = None
    value: Json = msgspec.UNSET


def read_document(resource_type: ResourceType, body: Document, noted: Noted) -> tuple[Document, MembershipChange]:
    """The document that a POST body describes, ready to be stored, and the members that it names.

    Raises:
        InvalidValue: a value does not fit its attribute, or a required attribute is missing.
    """
    edit = _Edit(resource_type, {}, noted)
    edit.merge("add", body)
    for name, value in resource_type.defaults.items():
        edit.document.setdefault(name, value)
    return edit.finish(), edit.memberships


def replace_document(resource_type: ResourceType, current: Document, body: Document, noted: Noted) -> tuple[Document, MembershipChange]:
    """The document after a PUT (RFC 7644 section 3.5.1): what the body does not name is cleared, but for the type's defaults (L30).

    Raises:
        InvalidValue: as `read_document`.
    """
    edit = _Edit(resource_type, {}, noted)
    if resource_type.memberships is not None:
        edit.memberships.replace([])
    edit.merge("add", body)
    for name in resource_type.defaults.keys() & current.keys():
        edit.document.setdefault(name, current[name])
    return edit.finish(), edit.memberships


def patch_document(resource_type: ResourceType, document: Document, operations: list[Operation], noted: Noted) -> tuple[Document, MembershipChange]:
    """The document after the operations, in their order, and the change of members that they ask for; `document` is edited in place.

    Raises:
        InvalidPath, InvalidValue, Mutability, NoTarget: an operation cannot be carried out; nothing of the PATCH counts.
    """
    before = document.get("userName")
    edit = _Edit(resource_type, document, noted)
    for operation in operations:
        edit.apply(operation)
    after = edit.document.get("userName")
    if before and after and before != after and after.lower().endswith(before.lower()) and _TOMBSTONE.fullmatch(after[: -len(before)]):
        noted.add(Tolerance.TOMBSTONE)
    return edit.finish(), edit.memberships


def patch_memberships(resource_type: ResourceType, operations: list[Operation], noted: Noted) -> MembershipChange | None:
    """The change of members that a PATCH of nothing else asks for, or None when an operation touches the document.

    Such a PATCH needs no look at the group (house invariant 3). Raises as `patch_document`.
    """
    if resource_type.memberships is None or not operations or not all(_names_only_members(resource_type, operation) for operation in operations):
        return None
    edit = _Edit(resource_type, {}, noted)
    for operation in operations:
        edit.apply(operation)
    return edit.memberships


def _names_only_members(resource_type: ResourceType, operation: Operation) -> bool:
    names = [operation.path or ""]
    if operation.path is None and isinstance(operation.value, dict):
        names = list(operation.value)
    bare = [resource_type.split_urn(name)[1].partition("[")[0].strip().lower() for name in names]
    return bool(bare) and all(name == resource_type.memberships for name in bare)


class _Target(msgspec.Struct, frozen=True):
    """What a path or a key names: a declared attribute, its sub-attribute, and the filter that picks elements of it."""

    reference: Reference
    filter: filters.Filter | None = None

    @property
    def condition(self) -> Condition | None:
        return resolve_value_filter(self.reference.attribute, self.filter) if self.filter is not None else None


class _Edit:
    """One document being changed."""

    def __init__(self, resource_type: ResourceType, document: Document, noted: Noted) -> None:
        self.resource_type = resource_type
        self.document = document
        self.noted = noted
        self.memberships = MembershipChange()

    # -- operations

    def apply(self, operation: Operation) -> None:
        if operation.op != "remove" and operation.value is msgspec.UNSET:
            raise InvalidValue(f'The operation "{operation.op}" needs a value.')
        value = None if operation.value is msgspec.UNSET else operation.value
        if operation.path is not None:
            self.apply_path(operation.op, operation.path, value, explicit=True)
        elif operation.op == "remove":
            raise NoTarget('The operation "remove" needs a path (RFC 7644 section 3.5.2.2).')
        elif isinstance(value, dict):
            self.merge(operation.op, value)
        else:
            raise InvalidValue(f'The operation "{operation.op}" has no path, so its value must be an object of attributes.')

    def merge(self, op: Op, values: Document) -> None:
        """Every attribute of an object: names, dotted names, URNs with an object, URN-qualified names, names with a filter (L06)."""
        for name, value in values.items():
            if name.lower() in COMMON:
                if name.lower() != "schemas":
                    self.noted.add(Tolerance.READ_ONLY_IGNORED)
            else:
                self.apply_path(op, name, value, explicit=False)

    def apply_path(self, op: Op, name: str, value: Json, *, explicit: bool) -> None:
        urn, rest = self.resource_type.split_urn(name.strip()) if name.lstrip()[:4].lower() == "urn:" else (None, name)
        if urn is not None and self.resource_type.canonical_urn(urn) is None:
            self.change_opaque(op, name, urn, rest, value)
        elif urn is not None and not rest:
            self.change_extension(op, urn, value, explicit=explicit)
        else:
            target = self.locate(urn, rest, explicit=explicit)
            if target is None:
                self.noted.add(Tolerance.UNKNOWN_ATTRIBUTE)
            elif self.is_writable(target, explicit=explicit):
                self.change(op, target, value)

    def locate(self, urn: str | None, rest: str, *, explicit: bool) -> _Target | None:
        """The target of a path, or None for an attribute that no schema declares (L15)."""
        if rest.isalnum():
            path = Path(rest)
        else:
            try:
                path = parse_path(rest, self.noted)
            except InvalidPath:
                if explicit:
                    raise
                return None
            if not explicit:
                self.noted.add(Tolerance.PATHLESS_KEYS)
        name, _, sub = path.attribute.partition(".")
        reference = self.resource_type.find(urn, name, sub or path.sub or None)
        if reference is None:
            return None
        if urn is None and reference.urn is not None:
            self.noted.add(Tolerance.BARE_EXTENSION_NAME)
        return _Target(reference, path.filter)

    def is_writable(self, target: _Target, *, explicit: bool) -> bool:
        reference = target.reference
        if "readOnly" in (reference.attribute.mutability, reference.leaf.mutability):
            if explicit:
                raise Mutability(f"{reference.attribute.name} is read-only: leave it out of the PATCH (RFC 7643 section 2.2).")
            self.noted.add(Tolerance.READ_ONLY_IGNORED)
            return False
        return reference.attribute.returned != "never"  # a password is accepted and dropped (threat T07)

    # -- extensions

    def change_extension(self, op: Op, urn: str, value: Json, *, explicit: bool) -> None:
        """A whole extension object by its URN; the core schema's URN stands for the resource itself."""
        if isinstance(value, dict):
            for name, part in value.items():
                self.apply_path(op, f"{urn}:{name}", part, explicit=False)
        elif (op == "remove" or value is None) and urn != self.resource_type.schema.id:
            self.document.pop(urn, None)
        elif explicit or value is not None:
            raise InvalidValue(f"{quoted(urn)} is a schema: its value must be an object of attributes.")

    def change_opaque(self, op: Op, name: str, urn: str, rest: str, value: Json) -> None:
        """Data under a URN that no schema declares: kept and given back as sent, so that the client finds it equal (L16)."""
        self.noted.add(Tolerance.OPAQUE_EXTENSION)
        whole = next((key for key in self.document if key.lower() == name.lower()), name if isinstance(value, dict) else None)
        if whole is not None:
            if op == "remove" or is_unassigned(value):
                self.document.pop(whole, None)
            elif isinstance(value, dict):
                self.document[whole] = {**self.document.get(whole, {}), **{key: part for key, part in value.items() if part is not None}}
            return
        key = next((key for key in self.document if key.lower() == urn.lower()), urn)
        held = dict(self.document.get(key, {}))
        held.pop(rest, None)
        if op != "remove" and not is_unassigned(value):
            held[rest] = value
        self.put(self.document, key, held)

    # -- declared attributes

    def change(self, op: Op, target: _Target, value: Json) -> None:
        attribute = target.reference.attribute
        if attribute.name == self.resource_type.memberships:
            self.change_members(op, target, value)
        elif op == "remove" and attribute.multi_valued and target.filter is None and target.reference.sub is None and not is_unassigned(value):
            self.remove_listed(target, value)
        elif op == "remove" or is_unassigned(value):
            if op != "remove":
                self.noted.add(Tolerance.EMPTY_CLEARS)
            if op != "add" or value != []:
                self.clear(target)
        elif target.filter is not None:
            self.change_elements(op, target, value)
        elif attribute.multi_valued:
            self.change_values(op, target, value)
        else:
            self.change_single(target, value)

    def change_single(self, target: _Target, value: Json) -> None:
        """A single-valued attribute or one part of it; parts that are not named stay (RFC 7644 section 3.5.2.3)."""
        reference = target.reference
        container = self.container(reference)
        name = reference.attribute.name
        if reference.sub is not None:
            container[name] = self.with_sub(container.get(name, {}), reference, value)
            return
        read = read_value(reference.attribute, value, self.noted)
        if isinstance(read, dict):
            cleared = (
                {sub.name for key, part in value.items() if is_unassigned(part) and (sub := reference.attribute.sub(key))} if isinstance(value, dict) else set()
            )
            read = {key: part for key, part in {**container.get(name, {}), **read}.items() if key not in cleared}
        self.put(container, name, read)

    def change_values(self, op: Op, target: _Target, value: Json) -> None:
        reference = target.reference
        container = self.container(reference)
        name = reference.attribute.name
        current: list[Json] = container.get(name, [])
        if reference.sub is not None:  # emails.value without a filter: the preferred element, or a new one
            chosen = next((element for element in current if element.get("primary") is True), current[0] if current else {})
            changed = self.with_sub(chosen, reference, value)
            self.put(container, name, [changed if element is chosen else element for element in current] or [changed])
            return
        values = read_values(reference.attribute, value, self.noted)
        if op == "replace":
            self.put(container, name, values)
            return
        new = [element for element in values if element not in current]
        if len(new) < len(values):
            self.noted.add(Tolerance.DUPLICATE_VALUE)
        merged = read_values(reference.attribute, current + new, self.noted)
        self.put(container, name, merged)

    def change_elements(self, op: Op, target: _Target, value: Json) -> None:
        """The elements that the filter picks; when it picks none, one is made of the filter's own terms (L07)."""
        reference = target.reference
        container = self.container(reference)
        name = reference.attribute.name
        current = self.elements(container, name)
        picked = self.pick(target, current)
        if not picked:
            self.noted.add(Tolerance.CREATED_BY_FILTER)
            created = self.element_from_filter(target)
            current.append(created)
            picked = [created]
        for element in picked:
            at = next(index for index, other in enumerate(current) if other is element)
            current[at] = self.changed_element(op, target, element, value)
            if current[at].get("primary") is True:
                demote_primaries(current, [current[at]], self.noted)
        if not reference.attribute.multi_valued:
            self.put(container, name, current[0])
        else:
            self.put(container, name, [element for element in current if element])

    def changed_element(self, op: Op, target: _Target, element: Document, value: Json) -> Document:
        reference = target.reference
        if reference.sub is not None:
            return self.with_sub(element, reference, value)
        read = read_value(reference.attribute, value, self.noted) or {}
        if op == "replace" and isinstance(value, dict):
            element = self.element_from_filter(target, strict=False)
        return {**element, **read}

    def element_from_filter(self, target: _Target, *, strict: bool = True) -> Document:
        """The element that the equality terms of a filter describe: `[type eq "work"]` gives `{"type": "work"}`."""
        element: Document = {}
        attribute = target.reference.attribute
        tree = target.filter
        for term in tree.terms if isinstance(tree, filters.Conjunction) else (tree,):
            sub = attribute.sub(term.attribute) if isinstance(term, filters.Comparison) else None
            if isinstance(term, filters.Comparison) and term.operator == "eq" and sub is not None:
                element[sub.name] = read_value(sub, term.value.parsed if sub.type == "boolean" else term.value.text, self.noted)
            elif strict:
                raise NoTarget(f"No value of {attribute.name} matches the filter, and it does not say by eq what a new one should be.")
        return element

    def with_sub(self, element: Document, reference: Reference, value: Json) -> Document:
        sub = reference.leaf
        return {**element, sub.name: read_value(sub, value, self.noted)}

    # -- removal

    def clear(self, target: _Target) -> None:
        """Unassign what the target names; nothing there to unassign is a success (L08, L10)."""
        reference = target.reference
        attribute = reference.attribute
        container = self.container(reference)
        held = container.get(attribute.name)
        if held is None:
            self.noted.add(Tolerance.REMOVE_NOTHING)
            return
        if attribute.required:
            raise Mutability(f"{attribute.name} is required and cannot be removed; replace it instead (RFC 7644 section 3.5.2.2).")
        if target.filter is None and reference.sub is None:
            container.pop(attribute.name)
            return
        elements = self.elements(container, attribute.name)
        picked = self.pick(target, elements)
        if not picked:
            self.noted.add(Tolerance.REMOVE_NOTHING)
        kept = []
        for element in elements:
            if not any(element is other for other in picked):
                kept.append(element)
            elif reference.sub is not None:
                rest = {key: part for key, part in element.items() if key != reference.leaf.name}
                if rest.keys() - {"type", "primary"}:
                    kept.append(rest)
        self.put(container, attribute.name, kept if attribute.multi_valued else (kept[0] if kept else None))

    def remove_listed(self, target: _Target, value: Json) -> None:
        """`remove` with a list of values takes those and leaves the others (L09)."""
        self.noted.add(Tolerance.REMOVE_WITH_VALUE)
        attribute = target.reference.attribute
        container = self.container(target.reference)
        listed = [comparable_element(attribute, element) for element in read_values(attribute, value, self.noted)]

        def is_listed(element: Json) -> bool:
            compared = comparable_element(attribute, element)
            return any(
                compared == one or (isinstance(one, dict) and "value" in one and isinstance(compared, dict) and compared.get("value") == one["value"])
                for one in listed
            )

        self.put(container, attribute.name, [element for element in container.get(attribute.name, []) if not is_listed(element)])

    # -- members

    def change_members(self, op: Op, target: _Target, value: Json) -> None:
        """Members are rows, not part of the document: gather what is to be added and removed, in the operations' order."""
        if target.filter is not None:
            if op != "remove":
                ids = read_member_ids(value if not is_unassigned(value) else [term.value.text for term in _equal_values(target.filter)], self.noted)
                self.memberships.add(ids)
            else:
                self.memberships.remove([term.value.text for term in _equal_values(target.filter)])
        elif op == "remove" and is_unassigned(value):
            self.memberships.replace([])
        elif op == "remove":
            self.noted.add(Tolerance.REMOVE_WITH_VALUE)
            self.memberships.remove(read_member_ids(value, self.noted))
        elif op == "replace":
            self.memberships.replace(read_member_ids(value, self.noted))
        else:
            self.memberships.add(read_member_ids(value, self.noted))

    # -- the document

    def container(self, reference: Reference) -> Document:
        return self.document.setdefault(reference.urn, {}) if reference.urn else self.document

    def elements(self, container: Document, name: str) -> list[Document]:
        held = container.get(name)
        return list(held) if isinstance(held, list) else [held] if held else []

    def pick(self, target: _Target, elements: list[Document]) -> list[Document]:
        try:
            condition = target.condition
        except InvalidFilter as error:
            raise InvalidPath(error.detail) from error
        attribute = target.reference.attribute
        return [element for element in elements if condition is None or matches(condition, comparable_element(attribute, element))]

    def put(self, container: Document, name: str, value: Json) -> None:
        if is_unassigned(value):
            container.pop(name, None)
        else:
            container[name] = value

    def finish(self) -> Document:
        """The document with its `schemas` first, empty extensions dropped, required attributes and sizes checked."""
        rest = {name: value for name, value in self.document.items() if name != "schemas" and not is_unassigned(value)}
        for attribute in self.resource_type.schema.attributes:
            if attribute.required and attribute.name not in rest:
                raise InvalidValue(f"{attribute.name} is required and has no value. Send it, or map it in the identity provider.")
        urns = {schema.id for schema in self.resource_type.extensions}
        opaque = {name: value for name, value in rest.items() if name.lower().startswith("urn:") and name not in urns}
        if opaque and len(msgspec.json.encode(opaque)) > OPAQUE_BYTES_LIMIT:
            raise InvalidValue(f"The extensions {quoted(', '.join(opaque))} are larger than {OPAQUE_BYTES_LIMIT} bytes. Map fewer attributes.")
        return {"schemas": [self.resource_type.schema.id, *(name for name in rest if name in urns or name in opaque)], **rest}


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
