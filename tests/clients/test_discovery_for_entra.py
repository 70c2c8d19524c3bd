"""The discovery endpoints as Entra's gallery connectors and validation read them: client catalogue section 5."""

from typing import Any

import pytest

from tests.clients.mapping_names import mapping_names, schemas_of, targets
from tests.clients.recordings import ENTERPRISE, GROUP, LIST, USER, recorded, refused
from tests.servers.service import ScimClient

CHARACTERISTICS = {"name", "type", "multiValued", "description", "required", "mutability", "returned", "uniqueness"}


def _walk(attributes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [found for attribute in attributes for found in (attribute, *_walk(attribute.get("subAttributes", [])))]


async def test_schemas_are_a_list_response_with_users_groups_and_the_extension(acme: ScimClient) -> None:
    """Section 5: "must be a ListResponse"; without the Group schema all group tests fail."""
    listed = (await acme.get("/Schemas")).json()

    assert listed["schemas"] == [LIST]
    assert {USER, GROUP, ENTERPRISE} <= {schema["id"] for schema in listed["Resources"]}
    assert listed["totalResults"] == listed["itemsPerPage"] == len(listed["Resources"])
    assert listed["startIndex"] == 1


async def test_each_attribute_states_its_characteristics_in_camel_case(acme: ScimClient) -> None:
    """Section 5 and RFC 7643 section 7: `readWrite`, no nulls, real booleans."""
    for schema in (await schemas_of(acme)).values():
        for attribute in _walk(schema["attributes"]):
            assert attribute.keys() >= CHARACTERISTICS
            assert attribute["type"] in ("string", "boolean", "decimal", "integer", "dateTime", "binary", "reference", "complex")
            assert attribute["mutability"] in ("readOnly", "readWrite", "immutable", "writeOnly")
            assert attribute["returned"] in ("always", "never", "default", "request")
            assert attribute["uniqueness"] in ("none", "server", "global")
            assert {type(attribute["required"]), type(attribute["multiValued"])} == {bool}
            assert ("subAttributes" in attribute) == (attribute["type"] == "complex")


@pytest.mark.parametrize("resource", ["User", "Group"])
async def test_every_mapped_attribute_is_found(acme: ScimClient, resource: str) -> None:
    """Section 9.2, check 1: names by section 5, letter case ignored."""
    found = {name.lower() for name in await targets(acme, resource)}

    assert {name.lower() for name in recorded("entra/default_mapping.json")[resource]} - found == set()


async def test_types_give_one_name_for_each_canonical_value(acme: ScimClient) -> None:
    """Section 5: emails {work, home, other}, phoneNumbers and six kinds, addresses {work, home, other}."""
    found = mapping_names((await schemas_of(acme))[USER])

    values = [name for name in found if name.endswith(".value") and name.startswith(("emails", "phoneNumbers"))]
    assert values == [f'emails[type eq "{kind}"].value' for kind in ("work", "home", "other")] + [
        f'phoneNumbers[type eq "{kind}"].value' for kind in ("work", "home", "mobile", "fax", "pager", "other")
    ]
    parts = {"formatted", "streetAddress", "locality", "region", "postalCode", "country"}
    assert {name for name in found if name.startswith("addresses")} == {
        f'addresses[type eq "{kind}"].{part}' for kind in ("work", "home", "other") for part in parts
    }


async def test_roles_have_no_canonical_types(acme: ScimClient) -> None:
    """Section 5: so that `roles[primary eq "True"]` comes out."""
    found = [name for name in mapping_names((await schemas_of(acme))[USER]) if name.startswith("roles")]

    assert sorted(found) == [f'roles[primary eq "True"].{part}' for part in ("display", "type", "value")]


async def test_single_complex_attributes_simple_ones_and_references_get_their_names(acme: ScimClient) -> None:
    """Section 5: `name.givenName`; `manager` and `members` bare; extensions by URN; top-level references invisible."""
    schemas = await schemas_of(acme)
    users, extension, groups = (mapping_names(schemas[urn]) for urn in (USER, ENTERPRISE, GROUP))

    assert [name for name in users if name.startswith("name")] == [
        f"name.{part}" for part in ("formatted", "familyName", "givenName", "middleName", "honorificPrefix", "honorificSuffix")
    ]
    assert "profileUrl" not in users
    assert set(extension) == {f"{ENTERPRISE}:{name}" for name in ("employeeNumber", "costCenter", "organization", "division", "department")} | {"manager"}
    assert sorted(groups) == ["displayName", "externalId", "members"]
    assert {"userName", "externalId", "displayName", "active", "title", "preferredLanguage"} <= set(users)
    assert len(users) == len(set(users))


async def test_only_the_names_are_required(acme: ScimClient) -> None:
    """Section 5: the null test skips required attributes, so only userName and a group's displayName may be."""
    schemas = await schemas_of(acme)

    required = {(urn, attribute["name"]) for urn in (USER, GROUP, ENTERPRISE) for attribute in _walk(schemas[urn]["attributes"]) if attribute["required"]}
    assert required == {(USER, "userName"), (GROUP, "displayName")}


@pytest.mark.parametrize("urn", [USER, GROUP, ENTERPRISE])
async def test_one_schema_reads_as_it_is_listed(acme: ScimClient, urn: str) -> None:
    """RFC 7644 section 4: /Schemas/{id}; any letter case."""
    listed = (await schemas_of(acme))[urn]

    assert (await acme.get(f"/Schemas/{urn}")).json() == listed
    assert (await acme.get(f"/Schemas/{urn.upper()}")).json() == listed
    assert listed["meta"]["location"] == f"{acme.base_url}/Schemas/{urn}"
    refused(await acme.get(f"/Schemas/{urn}x"), 404)


async def test_resource_types_name_their_endpoints_and_extensions(acme: ScimClient) -> None:
    """Section 5 and RFC 7643 section 6: in the gallery's checklist."""
    types = {found["id"]: found for found in (await acme.get("/ResourceTypes")).json()["Resources"]}

    assert (types["User"]["endpoint"], types["User"]["schema"], types["User"]["schemaExtensions"]) == (
        "/Users",
        USER,
        [{"schema": ENTERPRISE, "required": False}],
    )
    assert (types["Group"]["endpoint"], types["Group"]["schema"]) == ("/Groups", GROUP)
    assert (await acme.get("/ResourceTypes/User")).json() == types["User"]
    refused(await acme.get("/ResourceTypes/Robot"), 404)


@pytest.mark.parametrize("path", ["/Schemas", "/ResourceTypes", "/ServiceProviderConfig"])
async def test_discovery_takes_the_flag_but_no_filter(acme: ScimClient, path: str) -> None:
    """RFC 7644 section 4: a filter is 403 (standards.md, contradiction 3); other parameters are ignored."""
    plain = await acme.get(path)

    assert (await acme.get(f"{path}?aadOptscim062020")).json() == plain.json()
    assert (await acme.get(f"{path}/")).json() == plain.json()
    assert (await acme.get(path.lower())).json() == plain.json()
    refused(await acme.get(f"{path}?filter=id+pr"), 403)
