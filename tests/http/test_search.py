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


async def test_at_the_root_an_attribute_that_a_type_lacks_has_no_value(acme: ScimClient) -> None:
    """RFC 7644 section 3.4.2.1."""
    user = await acme.create_user(userName="ann", displayName="a", emails=[{"value": "a@x", "primary": True}, {"value": "b@x"}])
    group = await acme.create_group(displayName="b")

    async def found(text: str, **more: str) -> list[str]:
        response = await acme.get("/", params={"filter": text, **more})
        assert response.status_code == 200, response.text
        return [one["id"] for one in response.json()["Resources"]]

    assert await found("not (userName pr)") == [group["id"]]
    assert await found('userName ne "x"') == [user["id"], group["id"]]
    assert await found("userName eq null") == [group["id"]]
    assert await found('userName eq "ann" or displayName eq "b"') == [user["id"], group["id"]]
    assert await found('emails[value eq "a@x"] or members pr') == [user["id"]]
    assert await found('not (emails[value eq "a@x"])') == [group["id"]]
    assert await found('meta.resourceType eq "Group" and displayName pr') == [group["id"]]
    assert await found('meta.resourceType ne "Group"') == [user["id"]]
    assert await found('meta.resourceType sw "U"') == [user["id"]]
    assert await found("meta.resourceType pr", sortBy="userName") == [user["id"], group["id"]]
    for text in ('unheard eq "x"', 'userName eq "ann" and unheard pr', "meta.location pr"):
        assert (await acme.get("/", params={"filter": text})).json()["scimType"] == "invalidFilter", text


async def test_an_element_that_does_not_say_is_not_the_primary_one(acme: ScimClient) -> None:
    """RFC 7643 section 2.4."""
    await acme.create_user(userName="ann", emails=[{"value": "a@x", "primary": True}, {"value": "b@x"}])
    await acme.create_user(userName="bob", emails=[{"value": "c@x", "primary": True}])

    async def found(text: str) -> list[str]:
        return [one["userName"] for one in (await acme.get("/Users", params={"filter": text})).json()["Resources"]]

    assert await found("emails[primary eq false]") == ["ann"]
    assert await found("emails.primary eq false") == ["ann"]
    assert await found('emails[value eq "b@x" and primary eq false]') == ["ann"]
    assert await found('emails[value eq "a@x" and primary eq false]') == []
    assert await found("emails.primary ne false") == ["bob"]
    assert await found("emails.primary eq true") == ["ann", "bob"]


async def test_at_the_root_a_filter_must_fit_each_type_that_has_the_attribute(acme: ScimClient) -> None:
    await acme.create_user(userName="ann")
    await acme.create_group(displayName="b")

    for text in ("active gt true", 'name eq "x"', 'password eq "x"', 'active co "t" or displayName eq "b"'):
        assert (await acme.get("/", params={"filter": text})).json()["scimType"] == "invalidFilter", text
