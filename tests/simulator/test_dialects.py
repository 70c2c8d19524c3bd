"""PATCH bodies in both dialects (scim-clients sections 3.5, 3.6, 3.8 and 4)."""

from rollhouse.simulator.dialects import (
    PATCH_URN,
    add_members_patch,
    edits_patch,
    manager_patch,
    remove_members_patch,
)
from rollhouse.simulator.mapping import MANAGER_PATH, Edit

MAIL = 'emails[type eq "work"].value'
EDITS = [
    Edit("displayName", "Ada M.", absent=False),
    Edit(MAIL, "ada@acme.example", absent=True),
    Edit("active", value=False, absent=False),
    Edit("name.familyName", "Marsh", absent=True),
]


def test_legacy_writes_one_capitalised_operation_per_attribute_and_booleans_as_text() -> None:
    assert edits_patch(EDITS, "legacy") == {
        "schemas": [PATCH_URN],
        "Operations": [
            {"op": "Replace", "path": "displayName", "value": "Ada M."},
            {"op": "Add", "path": MAIL, "value": "ada@acme.example"},
            {"op": "Replace", "path": "active", "value": "False"},
            {"op": "Add", "path": "name.familyName", "value": "Marsh"},
        ],
    }


def test_flag_keeps_filtered_paths_and_folds_the_rest_into_one_map() -> None:
    assert edits_patch(EDITS, "flag")["Operations"] == [
        {"op": "add", "path": MAIL, "value": "ada@acme.example"},
        {"op": "replace", "value": {"displayName": "Ada M.", "active": False, "name.familyName": "Marsh"}},
    ]


def test_flag_adds_a_map_of_absent_attributes() -> None:
    edits = [Edit("title", "Lead", absent=True)]

    assert edits_patch(edits, "flag")["Operations"] == [{"op": "add", "value": {"title": "Lead"}}]


def test_manager_is_a_plain_string_in_both_dialects() -> None:
    legacy = manager_patch("7", "legacy", absent=False)["Operations"]
    flag = manager_patch("7", "flag", absent=True)["Operations"]

    assert legacy == [{"op": "Replace", "path": MANAGER_PATH, "value": "7"}]
    assert flag == [{"op": "add", "path": MANAGER_PATH, "value": "7"}]


def test_members_are_added_with_a_null_reference() -> None:
    operation = {"op": "Add", "path": "members", "value": [{"$ref": None, "value": "7"}]}

    assert add_members_patch(["7"], "legacy")["Operations"] == [operation]
    assert add_members_patch(["7"], "flag")["Operations"] == [operation | {"op": "add"}]


def test_members_are_removed_by_value_list_or_by_filtered_path() -> None:
    references = [{"$ref": None, "value": "7"}, {"$ref": None, "value": "8"}]

    assert remove_members_patch(["7", "8"], "legacy")["Operations"] == [{"op": "Remove", "path": "members", "value": references}]
    assert remove_members_patch(["7", "8"], "flag")["Operations"] == [
        {"op": "remove", "path": 'members[value eq "7"]'},
        {"op": "remove", "path": 'members[value eq "8"]'},
    ]
