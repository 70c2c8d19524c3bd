"""Queries in the body of a POST (RFC 7644 section 3.4.3)."""

from tests.servers.service import ScimClient

URN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"


async def test_a_search_of_one_type_is_its_list(acme: ScimClient) -> None:
    ann = await acme.create_user(userName="ann", title="Engineer")
    await acme.create_user(userName="bob")

    response = await acme.post("/Users/.search", {"schemas": [URN], "filter": "title pr", "attributes": ["userName"], "startIndex": 1, "count": 10})

    found = response.json()
    assert (response.status_code, found["totalResults"], found["itemsPerPage"], found["startIndex"]) == (200, 1, 1, 1)
    assert found["Resources"] == [{"id": ann["id"], "schemas": ann["schemas"], "userName": "ann"}]


async def test_a_search_of_everything_pages_through_all_types(acme: ScimClient) -> None:
    ids = [(await acme.create_user(userName=f"user{number}", displayName="x"))["id"] for number in range(3)]
    ids += [(await acme.create_group(displayName="x"))["id"] for _ in range(3)]

    seen = []
    for start in range(1, 9, 2):
        page = (await acme.post("/.search", {"schemas": [URN], "filter": 'displayName eq "x"', "startIndex": start, "count": 2})).json()
        assert (page["totalResults"], page["startIndex"]) == (6, start)
        seen += [resource["id"] for resource in page["Resources"]]

    assert seen == ids


async def test_a_type_without_the_attribute_has_no_match_and_an_unknown_one_is_refused(acme: ScimClient) -> None:
    user = await acme.create_user(userName="ann")
    await acme.create_group(displayName="Staff")

    found = (await acme.post("/.search", {"schemas": [URN], "filter": 'userName eq "ann"'})).json()
    refused = await acme.post("/.search", {"schemas": [URN], "filter": 'shoeSize eq "9"'})

    assert [resource["id"] for resource in found["Resources"]] == [user["id"]]
    assert (refused.status_code, refused.json()["scimType"]) == (400, "invalidFilter")
