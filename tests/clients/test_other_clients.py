"""A recorded dialogue of each client in section 11 of the client catalogue, with its oddities."""

import asyncio
import time
from typing import Any

from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.tenancy import tenants
from tests.clients.recordings import ENTERPRISE, GROUP, SCIM_JSON, USER, content, play, refused
from tests.servers.service import ScimClient


def _members(group: dict[str, Any]) -> list[str]:
    return sorted(member["value"] for member in group.get("members", []))


async def test_okta_provisions_pushes_groups_and_never_deletes(acme: ScimClient) -> None:
    """Section 11, Okta: PUT of the merged object, rename with the id in the value, `remove` and `add` in one PATCH."""
    okta = await play(acme, "okta/app_integration.json")
    user = okta.known["user"]

    assert okta["test"]["totalResults"] == okta["match"]["totalResults"] == 0
    assert okta["create"] == okta["read"]
    assert okta["create"]["externalId"] == "00uq7fjordMOE41"
    assert (okta["update"]["title"], okta["update"]["name"]["familyName"], okta["update"]["id"]) == ("Stevedore", "Moe-Dahl", user)
    assert all("vK3-lunne" not in answer.text for answer in okta.answers.values())
    assert content(okta["password"]) == content(okta["update"])
    assert (_members(okta["group with member"]), okta["group with member"]["displayName"]) == ([user], "Stevedores East")
    assert okta["group renamed again"]["members"] == okta["group with member"]["members"]
    assert _members(okta["group without member"]) == []
    assert (_members(okta["wizard's group update"]), okta["wizard's group update"]["displayName"]) == ([user], "Stevedores West")
    assert okta["deactivate"]["active"] is False
    assert [(found["id"], found["active"]) for found in okta["match inactive"]["Resources"]] == [(user, False)]
    assert okta["reactivate"]["active"] is True
    assert (okta["import"]["totalResults"], okta["import"]["itemsPerPage"]) == (1, 1)
    assert "groups" not in await acme.get_user(user)


async def test_onelogin_sends_its_template_and_wants_plain_json(acme: ScimClient) -> None:
    """Section 11, OneLogin: a 1.0 URN, `"id": null`, quoted booleans, `managerId`, `emails` as an object, custom headers."""
    onelogin = await play(acme, "onelogin/template.json")

    assert onelogin["probe"]["Resources"] == []
    assert content(onelogin["create"]) == {
        "schemas": [USER, ENTERPRISE],
        "id": onelogin.known["user"],
        "userName": "eirik.strand@fjordline.example",
        "active": True,
        "name": {"givenName": "Eirik", "familyName": "Strand"},
        "emails": [{"value": "eirik@fjordline.example", "type": "work", "primary": True}],
        ENTERPRISE: {"department": "Winches", "manager": {"value": onelogin.known["boss"]}},
    }
    assert (onelogin["update"]["title"], onelogin["update"][ENTERPRISE]) == ("Winchman", {"manager": {"value": onelogin.known["boss"]}})
    assert onelogin["groups"]["totalResults"] == 0
    assert (_members(onelogin["group with member"]), _members(onelogin["group without member"])) == ([onelogin.known["user"]], [])
    assert onelogin["disable"]["active"] is False
    assert {answer.headers["content-type"].split(";")[0] for answer in onelogin.answers.values() if answer.content} == {"application/json"}
    refused(await acme.get(f"/Users/{onelogin.known['user']}"), 404)


async def test_pingone_matches_by_its_expression_and_merges_or_overwrites_members(acme: ScimClient) -> None:
    """Section 11, PingOne and PingFederate: configured filters, disabled users are created, merge and overwrite."""
    ping = await play(acme, "pingone/store.json")
    user, other = ping.known["user"], ping.known["other"]

    assert ping["match by expression"]["totalResults"] == 0
    assert (ping["create disabled"]["active"], ping["create disabled"]["name"]) == (False, {"givenName": "Pål", "familyName": "Vang"})
    assert [found["id"] for found in ping["match by unique identifier"]["Resources"]] == [user]
    assert (ping["enable"]["active"], ping["enable"]["title"], "emails" in ping["enable"]) == (True, "Diver", False)
    assert ping["change"]["title"] == "Chief diver"
    assert _members(ping["merged"]) == sorted([user, other])
    assert _members(ping["overwrite"]) == _members(ping["overwritten"]) == [user]
    assert (await acme.get_user(user))["active"] is False
    refused(await acme.get(f"/Users/{other}"), 404)


async def test_pingone_with_basic_authentication_learns_that_a_bearer_is_wanted(acme: ScimClient) -> None:
    """Section 11, PingOne: it offers Basic; the answer names the scheme that works (L34)."""
    response = await acme.get("/Users", headers={"authorization": "Basic cGluZzpwb25n"})

    refused(response, 401)
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_jumpcloud_tests_its_connection_with_a_user_and_a_group(acme: ScimClient) -> None:
    """Section 11, JumpCloud: create and delete within seconds, then the same again; path-less rename; removal by a value list."""
    jumpcloud = await play(acme, "jumpcloud/test_connection.json")

    assert jumpcloud.known["again"] != jumpcloud.known["tester"]
    assert jumpcloud["deactivate test user"]["active"] is False
    assert (jumpcloud["renamed"]["displayName"], _members(jumpcloud["renamed"])) == ("Senior riggers", [jumpcloud.known["again"]])
    assert content(jumpcloud["emptied"]) == {"schemas": [GROUP], "id": jumpcloud.known["group"], "displayName": "Senior riggers"}
    assert [user["id"] for user in (await acme.get("/Users")).json()["Resources"]] == [jumpcloud.known["again"]]


async def test_google_provisions_users_and_deletes_them_later(acme: ScimClient) -> None:
    """Section 11, Google Workspace: `count=1` probe, users only, suspension before deletion."""
    google = await play(acme, "google/auto_provisioning.json")

    assert google["probe"]["totalResults"] == google["match"]["totalResults"] == google["match after"]["totalResults"] == 0
    assert google["change"]["name"] == {"givenName": "Hedda", "familyName": "Foss-Lie"}
    assert google["change"]["emails"] == [{"primary": True, "value": "hedda.foss@fjordline.example"}]
    assert google["suspend"]["active"] is False


async def test_google_s_administrator_pastes_the_token_with_its_prefix(acme: ScimClient) -> None:
    """Section 11, Google Workspace: "token pasted as access token"; section 1.1."""
    response = await acme.get("/Users?count=1", headers={"authorization": f"Bearer Bearer {acme.secret}"})

    assert response.status_code == 200


async def test_authentik_reads_the_configuration_and_compares_members(acme: ScimClient) -> None:
    """Section 11, authentik: unquoted filter after 409, PUT, lists without paging, whole-group replace, 404 makes it create anew."""
    authentik = await play(acme, "authentik/sync.json")
    user, second = authentik.known["user"], authentik.known["second"]

    config = authentik["config"]
    assert (config["patch"]["supported"], config["filter"]["supported"]) == (True, True)
    assert type(config["bulk"]["maxOperations"]) is int
    assert config["bulk"]["maxOperations"] > 0
    assert authentik["create again"]["scimType"] == "uniqueness"
    assert [found["id"] for found in authentik["search"]["Resources"]] == [user]
    assert (authentik["update"]["displayName"], "emails" in authentik["update"]) == ("Aksel Bru", False)
    assert [found["id"] for found in authentik["discover"]["Resources"]] == [user, second]
    assert (authentik["discover on"]["totalResults"], authentik["discover on"]["startIndex"], authentik["discover on"]["Resources"]) == (2, 3, [])
    assert [found["id"] for found in authentik["find group"]["Resources"]] == [authentik.known["group"]]
    assert (_members(authentik["compare"]), authentik["compare"]["displayName"]) == (sorted([user, second]), "Anchors aweigh")
    assert _members(authentik["compared again"]) == [user]
    assert authentik.known["anew"] != user
    assert await acme.members(authentik.known["group"]) == set()


async def test_authentik_sends_as_many_operations_as_the_configuration_allows(acme: ScimClient) -> None:
    """Section 11, authentik: operations in a PATCH are limited by our `bulk.maxOperations`, one a member."""
    limit = (await acme.get("/ServiceProviderConfig")).json()["bulk"]["maxOperations"]
    people = [(await acme.create_user(userName=f"hand{number}"))["id"] for number in range(limit)]
    group = await acme.create_group(displayName="Anchors")

    response = await acme.patch_operations(f"/Groups/{group['id']}", *({"op": "add", "path": "members", "value": [{"value": one}]} for one in people))

    assert (response.status_code, response.content) == (204, b"")
    assert await acme.members(group["id"]) == set(people)


async def test_keycloak_retries_and_sends_all_members_each_time(acme: ScimClient) -> None:
    """Section 11, Keycloak plug-ins: text booleans, `id` in the body, `remove members` with null, every request may come twice."""
    keycloak = await play(acme, "keycloak/plugin.json")
    user = keycloak.known["user"]

    assert keycloak["import"]["totalResults"] == 0
    assert user != "5e0c-kc"
    assert keycloak["create retried"]["scimType"] == "uniqueness"
    assert keycloak["update"] == keycloak["update retried"]
    assert (keycloak["switch off"]["active"], keycloak["switch on"]["active"], keycloak["switch on"]["id"]) == (False, True, user)
    assert (_members(keycloak["filled"]), _members(keycloak["emptied"]), _members(keycloak["put group"])) == ([user], [], [user])
    assert await acme.members(keycloak.known["group"]) == set()


async def test_keycloak_s_retries_at_once_stay_within_its_five_seconds(acme: ScimClient) -> None:
    """Section 11, Keycloak plug-ins: 5 s timeout and up to ten retries, here together, of a full member list."""
    people = [(await acme.create_user(userName=f"hand{number}"))["id"] for number in range(50)]
    group = await acme.create_group(displayName="Sailmakers")
    operation = {"op": "replace", "path": "members", "value": [{"value": one} for one in people]}
    started = time.monotonic()

    answers = await asyncio.gather(*(acme.patch_operations(f"/Groups/{group['id']}", operation) for _ in range(10)))

    assert {answer.status_code for answer in answers} == {204}
    assert time.monotonic() - started < 5
    assert await acme.members(group["id"]) == set(people)
    assert len((await acme.get_group(group["id"]))["members"]) == 50


async def test_sailpoint_aggregates_users_with_their_groups(acme: ScimClient) -> None:
    """Section 11, SailPoint: all discovery endpoints, `/schemas` in lower case, large pages, `groups` readable on the user."""
    sailpoint = await play(acme, "sailpoint/aggregation.json")
    user, group = sailpoint.known["user"], sailpoint.known["group"]

    assert {found["id"] for found in sailpoint["types"]["Resources"]} >= {"User", "Group"}
    assert sailpoint["schemas"] == sailpoint["schemas in lower case"]
    assert (sailpoint["user type"]["endpoint"], sailpoint["user type"]["schema"]) == ("/Users", USER)
    assert [sailpoint[step]["id"] for step in ("user schema", "group schema", "enterprise schema")] == [USER, GROUP, ENTERPRISE]
    (account,) = sailpoint["aggregate users"]["Resources"]
    assert [(found["value"], found["$ref"]) for found in account["groups"]] == [(group, f"{acme.base_url}/Groups/{group}")]
    assert [_members(found) for found in sailpoint["aggregate groups"]["Resources"]] == [[user]]
    assert (sailpoint["past the end"]["totalResults"], sailpoint["past the end"]["Resources"]) == (1, [])
    assert "groups" not in sailpoint["account after"]
    assert (sailpoint["disable"]["active"], "groups" in sailpoint["disable"]) == (False, False)


async def test_a_script_needs_no_user_agent_and_gets_clear_refusals(acme: ScimClient) -> None:
    """Section 11, custom scripts: no `schemas`, no User-Agent, users before groups, full-list PUT, soft and hard ends."""
    del acme.http.headers["user-agent"]

    script = await play(acme, "scripts/onboarding.json")
    first, second = script.known["first"], script.known["second"]

    assert "user-agent" not in script.answers["first"].request.headers
    assert _members(script["full list"]) == sorted([first, second])
    assert (script["mistake"]["scimType"], "userName" in script["mistake"]["detail"]) == ("invalidValue", True)
    assert _members(script["after"]) == [first]
    assert [(user["id"], user["active"]) for user in script["list"]["Resources"]] == [(first, False)]


async def test_a_script_that_is_too_fast_is_told_when_to_come_back(acme: ScimClient, service_database: Database) -> None:
    """Section 11, custom scripts, and the last table of standards.md: 429 as a SCIM error with whole seconds in Retry-After."""
    await tenants.set_limit(service_database, acme.base_url.split("/")[4], 1, 2, cause=UNATTENDED)

    answers = await asyncio.gather(*(acme.get("/Users?count=0") for _ in range(20)))

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 200
    assert statuses[-1] == 429
    for answer in answers:
        if answer.status_code == 429:
            refused(answer, 429)
            assert answer.headers["retry-after"].isdecimal()
            assert 1 <= int(answer.headers["retry-after"]) <= 60


async def test_an_aggregator_relays_the_shapes_of_several_providers(acme: ScimClient) -> None:
    """Section 11, aggregators: one token, several providers; `remove` with a filter and a value list; shared names."""
    relay = await play(acme, "aggregator/relay.json")
    one, two = relay.known["one"], relay.known["two"]

    assert (_members(relay["north"]), _members(relay["south"])) == ([one], [two])
    assert {found["id"] for found in relay["shared name"]["Resources"]} == {relay.known["north"], relay.known["south"]}
    assert {found["id"] for found in relay["shared externalId"]["Resources"]} == {one, two}
    assert (relay["disable in Entra's way"]["active"], relay["disable in Okta's way"]["active"]) == (False, False)
    assert relay.answers["north"].headers["content-type"].split(";")[0] == SCIM_JSON
    assert "x-Rp-00" not in relay.answers["from Okta"].text
