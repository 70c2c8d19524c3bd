"""What a tenant may define (RFC 7643 sections 6 and 7), and the words with which the rest is refused."""

from typing import Any

import pytest

from rollhouse.scim.definitions import ATTRIBUTES_LIMIT, INDEXED_LIMIT, Definitions, described, read_resource_type, read_schema
from rollhouse.scim.errors import InvalidValue, NotFound
from rollhouse.scim.registry import STANDARD
from rollhouse.scim.schemas import ENTERPRISE_URN, GROUP_MEMBER, GROUP_URN, USER_URN

URN = "urn:example:params:scim:schemas:Badge"


def schema(*attributes: Any, **changed: Any) -> dict[str, Any]:
    return {"id": URN, "name": "Badge", "attributes": list(attributes) or [{"name": "serial"}], **changed}


def kind(**changed: Any) -> dict[str, Any]:
    return {"name": "Badge", "endpoint": "/Badges", "schema": URN, **changed}


def test_a_definition_is_read_back_as_it_was_described() -> None:
    found = read_schema(
        schema(
            {"name": "serial", "uniqueness": "server", "indexed": True, "caseExact": True},
            {
                "name": "parts",
                "type": "complex",
                "multiValued": True,
                "caseExact": True,
                "subAttributes": [{"name": "value", "indexed": True}, {"name": "$ref", "type": "reference"}],
            },
        )
    )

    assert read_schema(described(found)) == found
    assert found.attributes[0].enforced


def test_what_schemas_shows_can_be_sent_back() -> None:
    """With `schemas` and `meta`, as a client reads it at /Schemas."""
    shown = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"], "meta": {"resourceType": "Schema"}, **described(read_schema(schema()))}

    assert read_schema(shown) == read_schema(schema())


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ([], "must be a JSON object"),
        (schema(id="badge"), "is a URN"),
        (schema(id="urn:ietf:params:scim:api:messages:2.0:Badge"), "is a URN"),
        (schema(id=USER_URN), "is there for every tenant"),
        (schema(id=ENTERPRISE_URN.upper()), "is there for every tenant"),
        (schema(id="urn:example:scim:a/b"), "is a URN"),
        (schema(id="urn:example:scim:a%41"), "is a URN"),
        (schema(id="urn:ietf:params:scim:schemas:core:2.0:Schema"), "is there for every tenant"),
        (schema(id=GROUP_MEMBER.schema.id), "is there for every tenant"),
        (schema(description="x" * 70_000), "larger than 65536 bytes"),
        (schema(description="a\x00b"), "a control character"),
        (schema({"name": "a", "canonicalValues": ["\x9b31m"]}), "a control character"),
        (schema({"name": "a", "canonicalValues": [str(number) for number in range(101)]}), "more than 100 canonicalValues"),
        (schema(attributes=[]), "needs at least one"),
        (schema(attributes="serial"), "cannot be taken"),
        (schema(nonsense=1), 'the unknown member "nonsense"'),
        (schema({"name": "serial", "multivalued": True}), 'the unknown member "multivalued"'),
        (schema({"name": "a", "type": "complex", "subAttributes": [{"name": "b", "kind": 1}]}), 'the unknown member "kind"'),
        (schema({"name": "serial", "type": "text"}), 'type of the attribute "serial" must be one of string, boolean'),
        (schema({"name": "serial", "returned": "sometimes"}), "must be one of always, never, default, request"),
        (schema({"type": "string"}), "name"),
        (schema({"name": "1st"}), "a letter, then letters"),
        (schema({"name": "a.b"}), "a letter, then letters"),
        (schema({"name": "a"}, {"name": "A"}), "letter case makes no difference"),
        (schema({"name": "id"}), "attribute of every resource"),
        (schema({"name": "Meta"}), "attribute of every resource"),
        (schema({"name": "a", "type": "complex"}), "needs subAttributes"),
        (schema({"name": "a", "subAttributes": [{"name": "b"}]}), "its type is complex"),
        (
            schema({"name": "a", "type": "complex", "subAttributes": [{"name": "b", "type": "complex", "subAttributes": [{"name": "c"}]}]}),
            "a.b is complex within",
        ),
        (schema({"name": "a", "type": "complex", "indexed": True, "subAttributes": [{"name": "b"}]}), "mark one of its parts"),
        (schema({"name": "a", "type": "boolean", "uniqueness": "server"}), "cannot be unique"),
        (schema({"name": "a", "type": "binary", "indexed": True}), "binary"),
        (schema({"name": "a", "type": "integer", "canonicalValues": ["1"]}), "only text takes"),
        (schema({"name": "a", "referenceTypes": ["User"]}), "only a reference takes"),
        (schema({"name": "a", "required": True, "mutability": "readOnly"}), "nobody could give it"),
        (schema({"name": "a", "required": True, "returned": "never"}), "not kept"),
        (schema({"name": "a", "indexed": True, "returned": "never"}), "not kept"),
        (schema({"name": "a", "mutability": "writeOnly"}), "its returned is never"),
        (schema(*({"name": f"a{number}"} for number in range(ATTRIBUTES_LIMIT + 1))), "at most 200"),
    ],
)
def test_what_is_no_schema_is_refused_with_its_place(definition: Any, words: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        read_schema(definition)

    assert words in refusal.value.detail


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        (kind(name="Test Badge"), "letters and digits"),
        (kind(endpoint="/Bulk"), "is not taken"),
        (kind(endpoint="/a/b"), "is not taken"),
        (kind(endpoint="/Me"), "is not taken"),
        (kind(name="GroupMember"), "is not taken"),
        (kind(name="Validate"), "is not taken"),
        (kind(name="User"), "for every tenant"),
        (kind(name="User", endpoint="/Users"), "for every tenant"),
        (kind(description="\x1b[31m"), "a control character"),
        (kind(extensions=[]), 'the unknown member "extensions"'),
        (kind(schemaExtensions=[{"required": True}]), "schema"),
    ],
)
def test_what_is_no_resource_type_is_refused(definition: Any, words: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        read_resource_type(definition)

    assert words in refusal.value.detail


def _large(count: int) -> Definitions:
    known = Definitions()
    for number in range(count):
        known = known.with_schema(read_schema(schema(id=f"{URN}{number}", description="x" * 60_000)))
    return known


BADGE = Definitions().with_schema(read_schema(schema()))
NOTE_URN = "urn:example:params:scim:schemas:Note"
NOTE = read_schema(schema(id=NOTE_URN, name="Note"))


@pytest.mark.parametrize(
    ("definitions", "words"),
    [
        (_large(5), "262144 bytes together"),
        (Definitions().with_type(read_resource_type(kind())), "add it first"),
        (BADGE.with_type(read_resource_type(kind(schemaExtensions=[{"schema": NOTE_URN}]))), "add it first"),
        (BADGE.with_type(read_resource_type(kind(schemaExtensions=[{"schema": URN}]))), "names a schema twice"),
        (BADGE.with_type(read_resource_type(kind(schema=GROUP_URN))), "a schema of your own"),
        (BADGE.with_type(read_resource_type(kind(endpoint="/users"))), '"users"'),
        (BADGE.with_type(read_resource_type(kind(name="user"))), '"user"'),
        (Definitions().with_schema(read_schema(schema({"name": "a", "type": "reference", "referenceTypes": ["Robot"]}))), "no resource type of this tenant"),
        (
            Definitions()
            .with_schema(read_schema(schema(*({"name": f"a{number}", "indexed": True} for number in range(INDEXED_LIMIT + 1)))))
            .with_type(read_resource_type(kind())),
            "at most 20",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(definitions: Definitions, words: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        definitions.registry(1)

    assert words in refusal.value.detail


def test_a_resource_type_has_an_external_id_and_the_types_of_all_tenants_stay() -> None:
    registry = BADGE.with_type(read_resource_type(kind())).registry(3)

    assert registry.revision == 3
    assert [one.name for one in registry.resource_types] == ["User", "Group", "Badge"]
    assert registry.resource_types[:2] == STANDARD.resource_types
    assert set(registry.by_name["Badge"].index_paths) == {"externalid"}
    assert registry.by_endpoint["badges"] is registry.by_name["Badge"]


def test_an_extension_is_put_on_a_type_once_and_taken_off_with_its_schema() -> None:
    known = Definitions().with_schema(NOTE).extended("User", NOTE_URN, required=False).extended("User", NOTE_URN.upper(), required=True)
    user = known.registry(1).by_name["User"]

    assert [one.id for one in user.extensions] == [ENTERPRISE_URN, NOTE_URN]
    assert user.required_extensions == {NOTE_URN.lower()}
    assert [one.id for one in known.without_schema(NOTE_URN).registry(2).by_name["User"].extensions] == [ENTERPRISE_URN]
    for refused in (lambda: known.extended("Robot", NOTE_URN, required=False), lambda: known.without_type("Robot"), lambda: known.without_schema(URN)):
        with pytest.raises(NotFound):
            refused()


def test_names_that_nobody_may_see_are_known() -> None:
    hidden = {"name": "parts", "type": "complex", "subAttributes": [{"name": "pin", "mutability": "writeOnly", "returned": "never"}]}
    registry = Definitions().with_schema(read_schema(schema(hidden))).with_type(read_resource_type(kind())).registry(1)

    assert registry.hidden == {"password", "pin"}
