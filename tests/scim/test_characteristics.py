"""What a tenant's own attributes are marked with holds in a PATCH, too, where paths and filters could lead round it."""

from typing import Any

import pytest

from rollhouse.scim.conditions import Compared, resolve_filter
from rollhouse.scim.definitions import Definitions, read_resource_type, read_schema
from rollhouse.scim.errors import BadRequest, Mutability, NoTarget
from rollhouse.scim.filters import parse_filter
from rollhouse.scim.patching import Operation, patch_document, patch_memberships, read_document, replace_document
from rollhouse.scim.schemas import ResourceType

BOX_URN, NOTE_URN = "urn:example:params:scim:schemas:Box", "urn:example:params:scim:schemas:Note"
USER_ID = "01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff"
BOX: dict[str, Any] = {
    "id": BOX_URN,
    "name": "Box",
    "attributes": [
        {"name": "userName", "type": "integer"},
        {
            "name": "parts",
            "type": "complex",
            "multiValued": True,
            "subAttributes": [
                {"name": "value"},
                {"name": "type"},
                {"name": "given", "mutability": "readOnly"},
                {"name": "pin", "returned": "never"},
            ],
        },
        {"name": "lid", "type": "complex", "subAttributes": [{"name": "type"}, {"name": "note"}, {"name": "value", "mutability": "immutable"}]},
    ],
}
NOTE: dict[str, Any] = {
    "id": NOTE_URN,
    "name": "Note",
    "attributes": [{"name": "fix", "mutability": "immutable"}, {"name": "text"}, {"name": "members", "multiValued": True}, {"name": "groups"}],
}


def kinds() -> dict[str, ResourceType]:
    known = Definitions().with_schema(read_schema(BOX)).with_schema(read_schema(NOTE))
    box = {"name": "Box", "endpoint": "/Boxes", "schema": BOX_URN, "schemaExtensions": [{"schema": NOTE_URN}]}
    for name in ("User", "Group"):
        known = known.extended(name, NOTE_URN, required=False)
    return known.with_type(read_resource_type(box)).registry(1).by_name


KINDS = kinds()


def made(kind: str = "Box", **attributes: Any) -> dict[str, Any]:
    document, _ = read_document(KINDS[kind], attributes, set())
    return document


def patched(document: dict[str, Any], op: Any, path: str | None, value: Any = None, kind: str = "Box") -> dict[str, Any]:
    return patch_document(KINDS[kind], document, [Operation(op, path, value)], set())[0]


@pytest.mark.threat("T07")
@pytest.mark.parametrize("filtering", ['pin eq "hunter2"', 'given eq "forged"', 'type eq "a" and pin eq "hunter2"', 'pin eq "hunter2" and given eq "forged"'])
@pytest.mark.parametrize("op", ["add", "replace"])
def test_a_filter_makes_no_part_that_nobody_may_write_or_see(op: str, filtering: str) -> None:
    for path, value in ((f"parts[{filtering}].value", "v"), (f"parts[{filtering}]", {"value": "v"})):
        document = made(parts=[{"value": "w", "type": "b"}])
        with pytest.raises(BadRequest):
            patched(document, op, path, value)


@pytest.mark.threat("T07")
def test_nor_where_the_whole_element_is_replaced() -> None:
    document = made(parts=[{"value": "w", "type": "b"}])
    changed = patched(document, "replace", 'parts[type eq "b" and not (pin pr)]', {"value": "v"})
    assert changed["parts"] == [{"type": "b", "value": "v"}]
    changed = patched(changed, "replace", 'parts[value eq "v" or pin eq "hunter2"]', {"type": "c"})
    assert "hunter2" not in str(changed)


def test_a_filter_of_nothing_makes_an_element_without_that_part() -> None:
    assert patched(made(), "add", "parts[type eq null].value", "v")["parts"] == [{"value": "v"}]


@pytest.mark.parametrize(("op", "value"), [("remove", None), ("replace", None), ("replace", "")])
def test_an_extension_that_holds_what_stays_is_not_taken_off(op: str, value: Any) -> None:
    with pytest.raises(Mutability, match="fix"):
        patched(made(**{NOTE_URN: {"fix": "A", "text": "t"}}), op, NOTE_URN, value)
    assert NOTE_URN not in patched(made(**{NOTE_URN: {"text": "t"}}), op, NOTE_URN, value)


def test_a_name_of_the_standard_means_nothing_of_it_in_another_type() -> None:
    assert patched(made(userName=1), "replace", "userName", 2)["userName"] == 2


def test_a_part_is_removed_alone() -> None:
    lid = {"type": "keep", "note": "x"}
    assert patched(made(lid=lid), "remove", "lid.note")["lid"] == {"type": "keep"}
    assert "lid" not in patched(made(lid={"note": "x"}), "remove", "lid.note")
    with pytest.raises(NoTarget):
        patched(made(lid=lid), "replace", 'lid[type eq "other"].note', "y")


def test_what_was_of_another_type_has_no_part_that_stays() -> None:
    assert replace_document(KINDS["Box"], {"lid": "my value"}, {"lid": {"note": "x"}}, set())[0]["lid"] == {"note": "x"}


def test_members_and_groups_of_an_extension_are_its_own() -> None:
    group, change = read_document(KINDS["Group"], {"displayName": "g", NOTE_URN: {"members": ["anything"]}}, set())
    assert (group[NOTE_URN], change.added) == ({"members": ["anything"]}, {})
    path = f"{NOTE_URN}:members"
    assert patch_memberships(KINDS["Group"], [Operation("add", path, ["more"])], set()) is None
    assert patched(group, "add", path, ["more"], "Group")[NOTE_URN] == {"members": ["anything", "more"]}
    for kind, name in (("Group", "members"), ("User", "groups")):
        condition = resolve_filter(KINDS[kind], parse_filter(f'{NOTE_URN}:{name} eq "hello"', set()))
        assert isinstance(condition, Compared)
        assert condition.field.source == "document"
    changed = patch_memberships(KINDS["Group"], [Operation("add", "members", [{"value": USER_ID}])], set())
    assert changed is not None
