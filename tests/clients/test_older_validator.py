"""Microsoft's older browser validator: client catalogue section 9.3."""

from tests.clients.recordings import ENTERPRISE, GROUP, USER, content, play
from tests.servers.service import ScimClient


async def test_the_validator_s_users_pass(acme: ScimClient) -> None:
    """Section 9.3, users: filters, duplicates, verbose and compact PATCH, manager, empty `Operations`, deletes."""
    validator = await play(acme, "validator/users.json")
    user, boss = validator.known["user"], validator.known["boss"]

    assert validator["filter nobody"]["Resources"] == []
    assert validator["duplicate"]["scimType"] == "uniqueness"
    assert [found["id"] for found in validator["filter"]["Resources"]] == [user]
    assert validator["filter"] == validator["filter other case"]
    verbose = validator["verbose"]
    assert (verbose["displayName"], verbose["title"], verbose["active"]) == ("ZYXW", "GHIJ", False)
    assert verbose["emails"] == [{"type": "work", "value": "v2@fjordline.example", "primary": True}]
    assert content(validator["compact"]) == {
        "schemas": [USER, ENTERPRISE],
        "id": user,
        "userName": "validator.two@fjordline.example",
        "active": True,
        "displayName": "ZYXW",
        "title": "GHIJ",
        "name": {"givenName": "MNOP", "familyName": "QRST"},
        "timezone": "9/zz",
        "locale": "0x1f",
        "preferredLanguage": "zz",
        "emails": [{"type": "work", "value": "v2@fjordline.example", "primary": True}],
        ENTERPRISE: {"department": "LKJH", "employeeNumber": "5150"},
    }
    assert validator["one attribute several times"]["displayName"] == "two"
    assert validator["no operations"] == validator["one attribute several times"]
    assert validator["manager added"][ENTERPRISE]["manager"]["value"] == boss
    assert validator["manager replaced"][ENTERPRISE]["manager"]["value"] == user
    assert "manager" not in validator["manager removed"][ENTERPRISE]


async def test_the_validator_s_groups_pass(acme: ScimClient) -> None:
    """Section 9.3, groups: the same with members, which are excluded where asked."""
    validator = await play(acme, "validator/groups.json")

    assert validator["filter nothing"]["Resources"] == []
    assert [found["id"] for found in validator["filter"]["Resources"]] == [validator.known["group"]]
    assert [member["value"] for member in validator["with member"]["members"]] == [validator.known["user"]]
    left = {"schemas": [GROUP], "id": validator.known["group"], "displayName": "Validator Group C", "externalId": "8f-2"}
    assert content(validator["without members"]) == content(validator["after"]) == left
