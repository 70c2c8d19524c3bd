"""What a person becomes at the target, and how the server's copy differs from it."""

from rollhouse.simulator.directory import Person, Team
from rollhouse.simulator.mapping import (
    ADSCIM_GROUP_URN,
    ENTERPRISE_URN,
    Edit,
    desired_user,
    diff_resource,
    group_body,
    manager_of,
    read_path,
    user_body,
    user_name,
)
from rollhouse.simulator.profile import Profile

GUID = "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef"


def make_person(**attributes: str) -> Person:
    given = {"userPrincipalName": "ada.marsh@acme.example", "mailNickname": "ada.marsh", "displayName": "Ada Marsh"}
    return Person(GUID, given | {"givenName": "Ada", "surname": "Marsh"} | attributes)


def test_post_has_the_shape_of_section_3_3() -> None:
    person = make_person(mail="ada@acme.example", mobile="+47 900", telephoneNumber="+47 22", department="R&D")
    body = user_body(person, Profile())

    assert body["emails"] == [{"primary": True, "type": "work", "value": "ada@acme.example"}]
    assert [(phone["type"], phone["primary"]) for phone in body["phoneNumbers"]] == [("work", True), ("mobile", False)]
    assert body["name"] == {"formatted": "Ada Marsh", "givenName": "Ada", "familyName": "Marsh"}
    assert body[ENTERPRISE_URN] == {"department": "R&D"}
    assert body["active"] is True
    assert (body["meta"], body["roles"]) == ({"resourceType": "User"}, [])
    assert "addresses" not in body
    assert "manager" not in body[ENTERPRISE_URN]


def test_extension_data_travels_without_its_urn_in_schemas() -> None:
    """scim-clients section 3.0."""
    body = user_body(make_person(extensionAttribute1="X1"), Profile(custom_extension="Contoso"))
    urn = "urn:ietf:params:scim:schemas:extension:Contoso:2.0:User"

    assert body[urn] == {"costBucket": "X1"}
    assert urn not in body["schemas"]


def test_post_variations_are_explicit_nulls_no_meta_and_no_roles() -> None:
    profile = Profile(sends_explicit_nulls=True, sends_client_meta=False, sends_empty_roles=False)
    body = user_body(make_person(jobTitle="Lead"), profile)

    assert body["addresses"] is None
    assert body["title"] == "Lead"
    assert not {"meta", "roles"} & set(body)


def test_external_id_is_the_alias_or_the_object_id() -> None:
    assert desired_user(make_person(), Profile())["externalId"] == "ada.marsh"
    assert desired_user(make_person(), Profile(external_id_source="objectId"))["externalId"] == GUID


def test_guest_gets_the_address_at_home() -> None:
    guest = make_person(userPrincipalName="bo_partner.example#EXT#@acme.example")

    assert user_name(guest, Profile()) == "bo@partner.example"
    assert "#EXT#" in user_name(guest, Profile(strips_guest_suffix=False))


def test_soft_deleted_person_is_disabled_and_renamed_and_nothing_else() -> None:
    """scim-clients section 3.9: 32 hexadecimal digits before the old name."""
    person = make_person()
    person.deleted_at_seconds = 0.0

    assert desired_user(person, Profile()) == {
        "active": False,
        "userName": "0a21f0f28d2a4f8ebf987363c4aed4efada.marsh@acme.example",
    }


def test_unassigned_person_is_only_disabled() -> None:
    person = make_person()
    person.assigned = False

    assert desired_user(person, Profile()) == {"active": False}


def test_blocked_person_stays_mapped_with_active_false() -> None:
    person = make_person()
    person.account_enabled = False

    assert desired_user(person, Profile())["active"] is False
    assert desired_user(person, Profile())["displayName"] == "Ada Marsh"


def test_group_body_lists_microsofts_urn_and_no_members() -> None:
    body = group_body(Team(GUID, "Blue"), Profile())

    assert ADSCIM_GROUP_URN in body["schemas"]
    assert "members" not in body


def test_a_faithful_copy_needs_no_edits() -> None:
    person = make_person(mail="ada@acme.example", city="Oslo", department="R&D", extensionAttribute1="X")
    profile = Profile(custom_extension="Contoso")

    assert diff_resource(user_body(person, profile), desired_user(person, profile)) == []


def test_diff_tells_absent_from_different() -> None:
    person = make_person(mail="ada@acme.example", jobTitle="Lead")
    resource = user_body(person, Profile()) | {"title": "Clerk", "emails": []}

    edits = diff_resource(resource, desired_user(person, Profile()))

    path = 'emails[type eq "work"].value'
    assert set(edits) == {Edit("title", "Lead", absent=False), Edit(path, "ada@acme.example", absent=True)}


def test_diff_minds_letter_case_and_types() -> None:
    """scim-clients section 3.4: whatever the server reformats is sent again."""
    person = make_person()
    resource = user_body(person, Profile()) | {"userName": "ADA.MARSH@acme.example", "active": "True"}

    assert {edit.path for edit in diff_resource(resource, desired_user(person, Profile()))} == {"userName", "active"}


def test_paths_are_read_whatever_the_case_of_names_and_types() -> None:
    resource = {"Emails": [{"Type": "Work", "Value": "a"}], ENTERPRISE_URN.lower(): {"Department": "R&D"}}

    assert read_path(resource, 'emails[type eq "work"].value') == "a"
    assert read_path(resource, f"{ENTERPRISE_URN}:department") == "R&D"
    assert read_path({"emails": "a"}, 'emails[type eq "work"].value') is None


def test_manager_as_plain_string_counts_as_none() -> None:
    assert manager_of({ENTERPRISE_URN: {"manager": {"value": "7"}}}) == "7"
    assert manager_of({ENTERPRISE_URN: {"manager": "7"}}) is None
    assert manager_of({}) is None
