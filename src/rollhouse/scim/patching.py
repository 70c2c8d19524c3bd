"""The PATCH engine (RFC 7644 section 3.5.2) and, as additions to an empty document, the reading of POST and PUT bodies."""

import re

import msgspec

from rollhouse.scim.attributes import Document, Op, Target, change_attribute, check_immutable
from rollhouse.scim.errors import InvalidPath, InvalidValue, Mutability, NoTarget, TooMany, quoted
from rollhouse.scim.extensions import OpaqueExtensions, check_opaque
from rollhouse.scim.filters import Path, parse_path
from rollhouse.scim.memberships import MembershipChange, change_members
from rollhouse.scim.schemas import COMMON, Reference, ResourceType
from rollhouse.scim.tolerances import Noted, Tolerance
from rollhouse.scim.values import Json, is_unassigned

_TOMBSTONE = re.compile(r"[0-9a-f]{32}")


DOCUMENT_BYTES_LIMIT = 262_144
"""What one resource may weigh, encoded: bounds a page of two hundred, and the work of folding and matching it."""
MATCHED_BYTES_LIMIT = 1_048_576
"""What the value filters of one PATCH may look at, encoded: operations times the weight of the attribute."""


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
    for one in resource_type.immutable:
        _keep_immutable(edit.document, current, one)
    return edit.finish(), edit.memberships


def _keep_immutable(document: Document, current: Document, reference: Reference) -> None:
    """Give an immutable attribute its present value if the body was silent about it.

    Raises:
        Mutability: the body gives it another one.
    """
    name = reference.leaf.name
    way = ([reference.urn] if reference.urn else []) + ([reference.attribute.name] if reference.sub else [])
    before = current
    for step in way:
        before = before.get(step, {}) if isinstance(before, dict) else {}
    if not isinstance(before, dict) or name not in before:  # it may be of another type before a change of definitions
        return
    for step in way:
        document = document.setdefault(step, {})
    if document.setdefault(name, before[name]) != before[name]:
        raise Mutability(f"{name} is immutable: send its present value or none (RFC 7644 section 3.5.1).")


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
    if isinstance(before, str) and isinstance(after, str) and _is_tombstone(before, after):
        noted.add(Tolerance.TOMBSTONE)
    return edit.finish(), edit.memberships


def _is_tombstone(before: str, after: str) -> bool:
    return bool(before) and after.lower().endswith(before.lower()) and _TOMBSTONE.fullmatch(after[: -len(before)]) is not None


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
    if operation.path is not None:
        return names_members(resource_type, operation.path)
    return isinstance(operation.value, dict) and bool(operation.value) and all(names_members(resource_type, name) for name in operation.value)


def names_members(resource_type: ResourceType, path: str) -> bool:
    """Whether a path, in any of its forms, names the attribute that is kept as membership rows."""
    if resource_type.memberships is None or resource_type.memberships not in path.lower():
        return False
    urn, rest = resource_type.split_urn(path.strip())
    return re.split(r"[\[.\s]", rest, maxsplit=1)[0].lower() == resource_type.memberships and (
        urn is None or resource_type.canonical_urn(urn) == resource_type.schema.id
    )


class _Edit:
    """One document being changed."""

    def __init__(self, resource_type: ResourceType, document: Document, noted: Noted) -> None:
        self.resource_type = resource_type
        self.document = document
        self.noted = noted
        self.memberships = MembershipChange()
        self.opaque = OpaqueExtensions(document)
        self.matched_bytes = 0

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

    def apply_path(self, op: Op, path: str, value: Json, *, explicit: bool) -> None:
        """Carry out an operation on what a path names; `explicit` paths may be refused, keys of an object are ignored instead (L15)."""
        declared = self.resource_type.declared.get(path)
        if declared is not None:
            if self.is_writable(declared, explicit=explicit):
                self.change(op, Target(declared), value)
            return
        name = path.strip()
        urn, rest = self.resource_type.split_urn(name)
        if urn is not None and self.resource_type.canonical_urn(urn) is None:
            is_opaque = self.opaque.change(op, name, value)
            self.noted.add(Tolerance.OPAQUE_EXTENSION if is_opaque else Tolerance.UNKNOWN_PATH if explicit else Tolerance.UNKNOWN_ATTRIBUTE)
        elif urn is not None and not rest:
            self.change_extension(op, urn, value, explicit=explicit)
        else:
            target = self.locate(urn, rest, explicit=explicit)
            if target is None:
                self.noted.add(Tolerance.UNKNOWN_PATH if explicit else Tolerance.UNKNOWN_ATTRIBUTE)
            elif self.is_writable(target.reference, explicit=explicit):
                self.change(op, target, value)

    def locate(self, urn: str | None, rest: str, *, explicit: bool) -> Target | None:
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
        return Target(reference, path.filter)

    def is_writable(self, reference: Reference, *, explicit: bool) -> bool:
        if "readOnly" in (reference.attribute.mutability, reference.leaf.mutability):
            if explicit:
                raise Mutability(f"{reference.attribute.name} is read-only: leave it out of the PATCH (RFC 7643 section 2.2).")
            self.noted.add(Tolerance.READ_ONLY_IGNORED)
            return False
        return "never" not in (reference.attribute.returned, reference.leaf.returned)  # a password is accepted and dropped (threat T07)

    def change(self, op: Op, target: Target, value: Json) -> None:
        urn = target.reference.urn
        if urn is None and target.attribute.name == self.resource_type.memberships:
            change_members(self.memberships, op, target, value, self.noted)
            return
        container = self.document.setdefault(urn, {}) if urn else self.document
        if target.filter is not None:
            self.matched_bytes += len(msgspec.json.encode(container.get(target.attribute.name)))
            if self.matched_bytes > MATCHED_BYTES_LIMIT:
                raise TooMany("The PATCH searches large values by filters too often. Send it in several requests.")
        change_attribute(container, op, target, value, self.noted)

    def change_extension(self, op: Op, urn: str, value: Json, *, explicit: bool) -> None:
        """A whole extension object by its URN; the core schema's URN stands for the resource itself."""
        if isinstance(value, dict):
            for name, part in value.items():
                if name.lower() != "schemas":
                    self.apply_path(op, f"{urn}:{name}", part, explicit=False)
        elif (op == "remove" or is_unassigned(value)) and urn != self.resource_type.schema.id:
            self.remove_extension(urn)
        elif explicit or not is_unassigned(value):
            raise InvalidValue(f"{quoted(urn)} is a schema: its value must be an object of attributes.")

    def remove_extension(self, urn: str) -> None:
        gone = self.document.pop(urn, {})
        for attribute in self.resource_type.schemas[urn.lower()].attributes:
            check_immutable(attribute, gone.get(attribute.name), None)

    def check_required(self, document: Document) -> None:
        """Hold a document to what must be in it (RFC 7643 sections 2.2 and 6)."""
        for schema in self.resource_type.extensions:
            if schema.id.lower() in self.resource_type.required_extensions and schema.id not in document:
                raise InvalidValue(f"The extension {schema.id} is required and has no value. Send it, or map its attributes in the identity provider.")
        for one in self.resource_type.required:
            holder = document if one.urn is None else document.get(one.urn)
            held = [] if holder is None else [holder]
            if one.sub is not None:
                value = (holder or {}).get(one.attribute.name, [])
                held = value if isinstance(value, list) else [value]
            if any(is_unassigned(each.get(one.leaf.name)) for each in held):
                raise InvalidValue(f"{one.label} is required and has no value. Send it, or map it in the identity provider.")

    def finish(self) -> Document:
        """The document with its `schemas` first, empty extensions dropped, required attributes and sizes checked."""
        rest = {name: value for name, value in self.document.items() if name != "schemas" and not is_unassigned(value)}
        self.check_required(rest)
        declared = [schema.id for schema in self.resource_type.extensions if schema.id in rest]
        opaque = {name: value for name, value in rest.items() if ":" in name and name not in declared}
        check_opaque(opaque)
        document = {"schemas": [self.resource_type.schema.id, *declared, *opaque], **rest}
        size = len(msgspec.json.encode(document))
        if size > DOCUMENT_BYTES_LIMIT:
            raise InvalidValue(f"The {self.resource_type.name} would weigh {size} bytes; at most {DOCUMENT_BYTES_LIMIT} are kept. Send fewer values.")
        return document
