from tests.servers.service import ScimClient


async def test_a_created_user_is_found_and_read(acme: ScimClient) -> None:
    user = await acme.create_user(userName="Ann@acme.example")

    assert [found["id"] for found in await acme.find("Users", 'userName eq "ann@ACME.example"')] == [user["id"]]
    assert (await acme.get_user(user["id"]))["userName"] == "Ann@acme.example"
