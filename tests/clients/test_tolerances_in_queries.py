"""The rows L18 to L23 and L31 of the tolerance matrix (client catalogue section 8): filters, letter case, names, pages."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus
from uuid import uuid4

import pytest

from tests.clients.recordings import content, filled, forms, recorded, refused
from tests.servers.service import ScimClient

_OBJECT_ID = "5d1c07be94aa4e0f8b6230f1ce77d9a2"


async def _ids(acme: ScimClient, query: str, endpoint: str = "Users") -> list[str]:
    response = await acme.http.get(f"{acme.base_url}/{endpoint}?{query}")
    assert response.status_code == 200, response.text
    assert response.json()["totalResults"] == len(response.json()["Resources"])
    return [found["id"] for found in response.json()["Resources"]]


@pytest.mark.tolerance("L18")
@pytest.mark.parametrize("form", forms("matrix/filters.json"))
async def test_a_filter_finds_the_user_and_nobody_else(acme: ScimClient, sunniva: dict[str, Any], torkel: dict[str, Any], form: str) -> None:
    """L18: every form of section 2, sent byte for byte."""
    group = await acme.create_group(displayName="Pilots", members=[{"value": sunniva["id"]}])
    await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "Add", "path": "manager", "value": torkel["id"]})

    query = filled(form, sunniva=sunniva["id"], torkel=torkel["id"], group=group["id"])

    assert await _ids(acme, f"filter={query}") == [sunniva["id"]]


@pytest.mark.tolerance("L18")
@pytest.mark.parametrize("filter_text", ["members eq {0}", 'members.value eq "{0}"', 'displayName eq "pilots" and members eq "{0}"', 'externalId eq "p-1"'])
async def test_a_filter_finds_the_group_and_no_other(acme: ScimClient, sunniva: dict[str, Any], filter_text: str) -> None:
    """L18 on groups: `members` and `members.value`."""
    group = await acme.create_group(displayName="Pilots", externalId="p-1", members=[{"value": sunniva["id"]}])
    await acme.create_group(displayName="Pilots", externalId="p-2")

    assert await _ids(acme, "filter=" + quote_plus(filter_text.format(sunniva["id"])), "Groups") == [group["id"]]


@pytest.mark.tolerance("L18")
@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ('The "Old" Harbour', 'displayName eq "The "Old" Harbour"'),
        ('The "Old" Harbour', r'displayName eq "The \"Old\" Harbour"'),
        (r"FJORD\pilots", r'displayName eq "FJORD\pilots"'),
        (r"FJORD\pilots", r'displayName eq "FJORD\\pilots"'),
        ("R&D #1 + 50%", 'displayName eq "R&D #1 + 50%"'),
        ("Håndtverkere 🚢", 'displayName eq "håndtverkere 🚢"'),
        ("O'Hara's", "displayName eq \"o'hara's\""),
    ],
)
async def test_values_with_quotes_backslashes_and_marks_are_found(acme: ScimClient, name: str, sent: str) -> None:
    """Section 2: Entra does not escape quotes and backslashes; the value runs to the last quote."""
    group = await acme.create_group(displayName=name)
    await acme.create_group(displayName="Harbour")

    assert await _ids(acme, "filter=" + quote_plus(sent), "Groups") == [group["id"]]


@pytest.mark.tolerance("L18")
async def test_a_bareword_is_counted(acme: ScimClient, sunniva: dict[str, Any], counted: Callable[[str], float]) -> None:
    """L18: the dialect has a counter; the RFC's own form does not move it."""
    before = counted("filter_dialect")
    await _ids(acme, "filter=userName+eq+%22nobody%22")
    between = counted("filter_dialect")
    await _ids(acme, "filter=userName+eq+nobody")

    assert (between, counted("filter_dialect")) == (before, before + 1)


@pytest.mark.tolerance("L19")
@pytest.mark.parametrize("form", forms("matrix/unsupported_filters.json"))
@pytest.mark.parametrize("endpoint", ["Users", "Groups"])
async def test_a_filter_that_cannot_run_is_refused(acme: ScimClient, sunniva: dict[str, Any], form: str, endpoint: str) -> None:
    """L19: 400 `invalidFilter`, never everybody and never an empty list."""
    response = await acme.http.get(f"{acme.base_url}/{endpoint}?filter={form}")

    refused(response, 400, "invalidFilter")


@pytest.mark.tolerance("L20")
async def test_names_and_addresses_compare_without_letter_case(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """L20: userName, e-mails and a group's displayName."""
    group = await acme.create_group(displayName="Über-Pilots")

    assert await _ids(acme, "filter=" + quote_plus('userName eq "SUNNIVA.HAUG@FJORDLINE.EXAMPLE"')) == [sunniva["id"]]
    assert await _ids(acme, "filter=" + quote_plus('emails.value eq "sunniva@fjordline.example"')) == [sunniva["id"]]
    assert await _ids(acme, "filter=" + quote_plus('emails[type eq "WORK"].value eq "SUNNIVA@fjordline.example"')) == [sunniva["id"]]
    assert await _ids(acme, "filter=" + quote_plus('displayName eq "üBER-pILOTS"'), "Groups") == [group["id"]]


@pytest.mark.tolerance("L20")
async def test_ids_compare_exactly(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """L20: `id` and `externalId`."""
    group = await acme.create_group(displayName="Pilots", externalId="ABC-def")

    assert await _ids(acme, "filter=externalId+eq+%22SHAUG%22") == []
    assert await _ids(acme, "filter=externalId+eq+%22shaug%22") == [sunniva["id"]]
    assert await _ids(acme, "filter=externalId+eq+%22abc-def%22", "Groups") == []
    assert await _ids(acme, "filter=externalId+eq+%22ABC-def%22", "Groups") == [group["id"]]
    assert await _ids(acme, f"filter=id+eq+%22{sunniva['id'].upper()}%22") == []


@pytest.mark.tolerance("L21")
@pytest.mark.parametrize(
    "operation",
    [{"op": "Replace", "path": "userName", "value": "s.moe@fjordline.example"}, {"op": "replace", "value": {"userName": "s.moe@fjordline.example"}}],
)
async def test_a_user_is_renamed(acme: ScimClient, sunniva: dict[str, Any], operation: dict[str, Any]) -> None:
    """L21: the id stays, the old name is free."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", operation)

    assert response.status_code == 200
    assert content(await acme.get_user(sunniva["id"])) == content(sunniva) | {"userName": "s.moe@fjordline.example"}
    assert await _ids(acme, "filter=userName+eq+%22sunniva.haug@fjordline.example%22") == []
    assert await _ids(acme, "filter=userName+eq+%22S.Moe@fjordline.example%22") == [sunniva["id"]]
    assert (await acme.post("/Users", recorded("entra/create_user.json"))).status_code == 201


@pytest.mark.tolerance("L21")
@pytest.mark.parametrize("name", ["torkel.lien@fjordline.example", "TORKEL.Lien@Fjordline.Example"])
async def test_a_rename_to_a_taken_name_is_a_conflict(acme: ScimClient, sunniva: dict[str, Any], torkel: dict[str, Any], name: str) -> None:
    """L21: 409 uniqueness in any letter case, by PATCH and PUT; nothing of the request counts."""
    patched = await acme.patch_operations(
        f"/Users/{sunniva['id']}", {"op": "Replace", "path": "title", "value": "x"}, {"op": "Replace", "path": "userName", "value": name}
    )
    put = await acme.put(f"/Users/{sunniva['id']}", recorded("entra/create_user.json") | {"userName": name})

    refused(patched, 409, "uniqueness")
    refused(put, 409, "uniqueness")
    assert await acme.get_user(sunniva["id"]) == sunniva
    assert await acme.get_user(torkel["id"]) == torkel


@pytest.mark.tolerance("L21")
async def test_a_user_may_change_the_letter_case_of_its_own_name(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """L21: no conflict with oneself; the new spelling is kept."""
    response = await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "Replace", "path": "userName", "value": "Sunniva.Haug@Fjordline.example"})

    assert response.status_code == 200
    assert (await acme.get_user(sunniva["id"]))["userName"] == "Sunniva.Haug@Fjordline.example"


@pytest.mark.tolerance("L22")
async def test_an_external_id_may_be_shared_and_changed(acme: ScimClient, sunniva: dict[str, Any], torkel: dict[str, Any]) -> None:
    """L22 and the last table of standards.md: not unique; two matches are both returned."""
    response = await acme.patch_operations(f"/Users/{torkel['id']}", {"op": "Add", "path": "externalId", "value": "shaug"})
    both = await _ids(acme, "filter=externalId+eq+%22shaug%22")
    await acme.patch_operations(f"/Users/{sunniva['id']}", {"op": "Replace", "path": "externalId", "value": "haug-2"})

    assert response.status_code == 200
    assert sorted(both) == sorted([sunniva["id"], torkel["id"]])
    assert await _ids(acme, "filter=externalId+eq+%22shaug%22") == [torkel["id"]]
    assert await _ids(acme, "filter=externalId+eq+%22haug-2%22") == [sunniva["id"]]


@pytest.mark.tolerance("L22")
async def test_an_external_id_may_be_shared_from_the_start(acme: ScimClient, sunniva: dict[str, Any]) -> None:
    """L22: mailNickname duplicates exist."""
    twin = await acme.create_user(userName="sunniva.haug2@fjordline.example", externalId="shaug")

    assert sorted(await _ids(acme, "filter=externalId+eq+%22shaug%22")) == sorted([sunniva["id"], twin["id"]])


@pytest.mark.tolerance("L23")
async def test_a_tombstone_name_is_stored_counted_and_reversible(acme: ScimClient, sunniva: dict[str, Any], counted: Callable[[str], float]) -> None:
    """L23: the whole life of a soft delete is in test_entra_users; here, that it is noticed."""
    before = counted("tombstone")

    buried = await acme.patch(f"/Users/{sunniva['id']}", recorded("entra/tombstone.json"))
    after = counted("tombstone")
    restored = await acme.patch(f"/Users/{sunniva['id']}", recorded("entra/restore.json"))

    assert (buried.json()["userName"], buried.json()["active"]) == (f"{_OBJECT_ID}sunniva.haug@fjordline.example", False)
    assert buried.json()["emails"] == sunniva["emails"]
    assert content(restored.json()) == content(sunniva)
    assert (after, counted("tombstone")) == (before + 1, before + 1)


@pytest.mark.tolerance("L23")
@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "replace", "value": {"active": False, "userName": _OBJECT_ID + "SUNNIVA.haug@fjordline.example"}}],
        [{"op": "Replace", "path": "userName", "value": _OBJECT_ID + "SUNNIVA.haug@fjordline.example"}, {"op": "Replace", "path": "active", "value": "False"}],
    ],
    ids=["pathless", "name first"],
)
async def test_a_tombstone_comes_in_other_forms(
    acme: ScimClient, sunniva: dict[str, Any], operations: list[dict[str, Any]], counted: Callable[[str], float]
) -> None:
    """L23: case-insensitive, in either dialect."""
    before = counted("tombstone")

    response = await acme.patch_operations(f"/Users/{sunniva['id']}", *operations)

    assert response.status_code == 200
    assert content(await acme.get_user(sunniva["id"])) == content(sunniva) | {"active": False, "userName": _OBJECT_ID + "SUNNIVA.haug@fjordline.example"}
    assert counted("tombstone") == before + 1


@pytest.mark.tolerance("L31")
@pytest.mark.parametrize(
    ("query", "start_index", "shown"),
    [
        ("", 1, 12),
        ("startIndex=0", 1, 12),
        ("startIndex=-7", 1, 12),
        ("count=0", 1, 0),
        ("count=-1", 1, 0),
        ("startIndex=5&count=0", 5, 0),
        ("startIndex=1&count=5", 1, 5),
        ("startIndex=11&count=5", 11, 2),
        ("startIndex=13&count=5", 13, 0),
        ("count=1000000000000", 1, 12),
        ("STARTINDEX=3&Count=4", 3, 4),
    ],
)
async def test_a_page_has_lenient_bounds_and_a_true_total(acme: ScimClient, query: str, start_index: int, shown: int) -> None:
    """L31 and RFC 7644 section 3.4.2.4: startIndex below 1 is 1, a negative count 0, `count=0` totals only."""
    for number in range(12):
        await acme.create_user(userName=f"hand{number}@fjordline.example")

    page = (await acme.http.get(f"{acme.base_url}/Users?{query}")).json()

    assert (page["totalResults"], page["itemsPerPage"], len(page["Resources"])) == (12, shown, shown)
    assert page["startIndex"] == start_index


@pytest.mark.tolerance("L31")
async def test_a_count_above_the_limit_gets_the_limit(acme: ScimClient) -> None:
    """L31: `count` > max is max; the limit is the one ServiceProviderConfig announces."""
    limit = (await acme.get("/ServiceProviderConfig")).json()["filter"]["maxResults"]
    for number in range(limit + 1):
        await acme.create_user(userName=f"hand{number}@fjordline.example")

    page = (await acme.get("/Users?count=5000")).json()
    rest = (await acme.get(f"/Users?count=5000&startIndex={limit + 1}")).json()

    assert (page["totalResults"], page["itemsPerPage"]) == (limit + 1, limit)
    assert (rest["totalResults"], rest["itemsPerPage"], rest["startIndex"]) == (limit + 1, 1, limit + 1)
    assert len({user["id"] for user in page["Resources"] + rest["Resources"]}) == limit + 1


@pytest.mark.tolerance("L31")
async def test_pages_have_a_stable_order_while_users_change(acme: ScimClient) -> None:
    """L31: created, then id; updates between two pages move nobody."""
    made = [(await acme.create_user(userName=f"{uuid4()}@fjordline.example"))["id"] for _ in range(9)]
    seen: list[str] = []
    for start in (1, 4, 7):
        seen += [user["id"] for user in (await acme.get(f"/Users?startIndex={start}&count=3")).json()["Resources"]]
        await acme.patch_operations(f"/Users/{made[0]}", {"op": "Replace", "path": "title", "value": f"Title {start}"})

    assert seen == made


@pytest.mark.tolerance("L31")
@pytest.mark.parametrize("query", ["startIndex=one", "count=many", "count=1.5"])
async def test_a_page_bound_that_is_no_number_is_refused(acme: ScimClient, query: str) -> None:
    """RFC 7644 section 3.4.2.4 defines integers; L31 forgives their range only."""
    refused(await acme.get(f"/Users?{query}"), 400, "invalidValue")
