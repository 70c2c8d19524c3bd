"""PATCH bodies in Entra's two dialects: without the flag (legacy) and with it (scim-clients sections 3.5, 3.6, 4)."""

from collections.abc import Sequence

from rollhouse.simulator.mapping import MANAGER_PATH, Document, Edit, Value
from rollhouse.simulator.profile import Dialect

PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


def patch_body(operations: list[Document]) -> Document:
    """A PatchOp message with the operations."""
    return {"schemas": [PATCH_URN], "Operations": operations}


def edits_patch(edits: Sequence[Edit], dialect: Dialect) -> Document:
    """The PATCH that applies edits: one capitalised operation each, or filtered paths plus one path-less map."""
    return patch_body(_legacy(edits) if dialect == "legacy" else _flag(edits))


def manager_patch(manager_id: str, dialect: Dialect, *, absent: bool) -> Document:
    """The PATCH that sets a manager: a plain string on the URN path in both dialects (section 3.8)."""
    return patch_body([{"op": _op(dialect, absent=absent), "path": MANAGER_PATH, "value": manager_id}])


def add_members_patch(member_ids: Sequence[str], dialect: Dialect) -> Document:
    """The PATCH that adds members, each with a null reference (section 4)."""
    return patch_body([{"op": _op(dialect, absent=True), "path": "members", "value": _references(member_ids)}])


def remove_members_patch(member_ids: Sequence[str], dialect: Dialect) -> Document:
    """The PATCH that removes members: a value list, or one filtered path each with the flag (section 4)."""
    if dialect == "legacy":
        return patch_body([{"op": "Remove", "path": "members", "value": _references(member_ids)}])
    return patch_body([{"op": "remove", "path": f'members[value eq "{member}"]'} for member in member_ids])


def _references(member_ids: Sequence[str]) -> list[Document]:
    return [{"$ref": None, "value": member} for member in member_ids]


def _op(dialect: Dialect, *, absent: bool) -> str:
    op = "Add" if absent else "Replace"
    return op if dialect == "legacy" else op.lower()


def _legacy(edits: Sequence[Edit]) -> list[Document]:
    return [{"op": _op("legacy", absent=edit.absent), "path": edit.path, "value": _legacy_value(edit.value)} for edit in edits]


def _legacy_value(value: Value) -> str:
    """Booleans travel as "True" and "False": the default mapping is an expression that yields strings."""
    return str(value)


def _flag(edits: Sequence[Edit]) -> list[Document]:
    operations: list[Document] = [{"op": _op("flag", absent=edit.absent), "path": edit.path, "value": edit.value} for edit in edits if "[" in edit.path]
    rest = [edit for edit in edits if "[" not in edit.path]
    if rest:
        op = _op("flag", absent=all(edit.absent for edit in rest))
        operations.append({"op": op, "value": {edit.path: edit.value for edit in rest}})
    return operations
