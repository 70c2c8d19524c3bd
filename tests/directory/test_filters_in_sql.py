"""The SQL that a filter becomes finds what the in-memory matcher finds (the matcher is the oracle), on both servers and locales."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollhouse.database.pool import Database
from rollhouse.directory import bulk, resources
from rollhouse.directory.queries import Sort
from rollhouse.directory.resources import Query
from rollhouse.scim.comparison import comparable
from rollhouse.scim.conditions import field_of, matches, resolve_filter
from rollhouse.scim.filters import parse_filter
from rollhouse.scim.keys import fold_date_time
from rollhouse.scim.patching import read_document
from rollhouse.scim.schemas import ENTERPRISE_URN, GROUP, USER
from tests.conftest import new_tenant, scope_of

WORDS = [
    "ann",
    "Ann",
    "bob",
    "BOB",
    "a%",
    "a_",
    "straße",
    "STRASSE",
    "ﬁn",
    "Åse",
    "\u0041\u030ase",
    "K",
    "\u212a",
    "zed",
    "10",
    "9",
    "x'y",
    'q"q',
    "back\\slash",
    "\U0001f600",
    "é" * 300,
]
TITLES = st.sampled_from([None, *WORDS])


def people() -> list[dict[str, Any]]:
    """Sixty documents that differ in every attribute which the filters below ask about."""
    made = []
    for number in range(60):
        word, other = WORDS[number % len(WORDS)], WORDS[number * 7 % len(WORDS)]
        body: dict[str, Any] = {"userName": f"{word}{number}", "active": number % 3 != 0}
        if number % 4:
            body |= {"title": other, "externalId": word, "displayName": f"{other} {word}"}
        if number % 2:
            body["emails"] = [{"value": f"{word}@x", "type": "work", "primary": True}, {"value": f"{other}@y", "type": "home"}][: 1 + number % 2 + number % 3]
        if number % 5:
            body["name"] = {"givenName": word, "familyName": other}
        if number % 7 == 0:
            body["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"] = {"employeeNumber": str(number), "manager": {"value": word}}
        made.append(read_document(USER, body, set())[0])
    return made


TEXT_ATTRIBUTES = [
    "userName",
    "title",
    "externalId",
    "displayName",
    "emails.value",
    "emails.type",
    "name.givenName",
    f"{ENTERPRISE_URN}:employeeNumber",
    "manager.value",
    "emails",
    "id",
]


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


comparisons = st.builds(
    lambda attribute, operator, word: f"{attribute} {operator} {quoted(word)}",
    st.sampled_from(TEXT_ATTRIBUTES),
    st.sampled_from(["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"]),
    st.sampled_from([*WORDS, "", "a", "\uffff", "ann0", "9@x"]),
)
leaves = st.one_of(
    comparisons,
    st.sampled_from([f"{name} pr" for name in [*TEXT_ATTRIBUTES, "name", "active"]]),
    st.sampled_from(["active eq true", 'active ne "True"', "title eq null", "title ne null", "groups pr", 'groups eq "x"']),
    st.builds(
        lambda kind, word, op: f"emails[type eq {quoted(kind)} and value {op} {quoted(word)}]",
        st.sampled_from(["work", "Home"]),
        st.sampled_from(WORDS),
        st.sampled_from(["co", "sw"]),
    ),
    st.builds(lambda word: f'emails[type eq "work"].value eq {quoted(word + "@x")}', st.sampled_from(WORDS)),
    st.builds(lambda word: f"emails[not (value eq {quoted(word + '@x')})]", st.sampled_from(WORDS)),
    st.sampled_from(['meta.created gt "2020-01-01T00:00:00Z"', 'meta.lastModified lt "2020-01-01T00:00:00+02:00"', "meta.created pr"]),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda left, right: f"({left}) and ({right})", inner, inner),
        st.builds(lambda left, right: f"({left}) or ({right})", inner, inner),
        st.builds(lambda term: f"not ({term})", inner),
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
async def populated(database: Database) -> Any:
    tenant = await new_tenant(database)
    documents = people()
    ids = await bulk.insert_resources(database, tenant.id, USER, documents)
    scope = scope_of(database, tenant, USER)
    page = await resources.list_resources(scope, Query(count=200), with_relation=False)
    moments = {record.id: {"created": fold_date_time(record.created)} for record in page.records}
    compared = {resource_id: comparable(USER, document) | {"id": str(resource_id)} for resource_id, document in zip(ids, documents, strict=True)}
    for resource_id, moment in moments.items():
        compared[resource_id]["meta"] = {"created": moment["created"], "lastmodified": moment["created"]}
    return scope, compared


@pytest.mark.threat("T10")
@pytest.mark.threat("T11")
@given(text=trees)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_sql_finds_what_the_matcher_finds(populated: Any, text: str) -> None:
    scope, compared = populated
    condition = resolve_filter(USER, parse_filter(text, set()))
    expected = {resource_id for resource_id, form in compared.items() if matches(condition, form)}

    page = await resources.list_resources(scope, Query(condition, count=200), with_relation=False)

    assert {record.id for record in page.records} == expected
    assert page.total == len(expected)
    counted = await resources.list_resources(scope, Query(condition, count=0), with_relation=False)
    assert (counted.total, counted.records) == (len(expected), [])


@pytest.mark.threat("T42")
@pytest.mark.parametrize("name", ["userName", "title", "emails.value", "active", "name.familyName", "meta.created", "id"])
@pytest.mark.parametrize("descending", [False, True])
async def test_pages_in_any_order_hold_everybody_once(populated: Any, name: str, *, descending: bool) -> None:
    """RFC 7644 section 3.4.2.3; the order of equal values is that of creation, so pages neither repeat nor miss (T42)."""
    scope, compared = populated
    sort = Sort(field_of(USER, name), descending)

    seen = []
    for start in range(1, 70, 7):
        page = await resources.list_resources(scope, Query(sort=sort, start_index=start, count=7), with_relation=False)
        assert page.total == len(compared)
        seen += [record.id for record in page.records]

    assert len(seen) == len(set(seen)) == len(compared)
    if name == "userName":
        keys = [compared[one]["username"] for one in seen]
        assert keys == sorted(keys, reverse=descending)


@pytest.mark.threat("T10")
@pytest.mark.parametrize("value", ["x' OR '1'='1", "$1", "%(v0)s", ":v0", "--", "/* */", "\\", "{}"])
async def test_no_value_enters_the_text_of_a_statement(populated: Any, value: str) -> None:
    from rollhouse.directory.queries import page_statement

    condition = resolve_filter(USER, parse_filter(f"title co {quoted(value)} and userName sw {quoted(value)}", set()))
    other = resolve_filter(USER, parse_filter('title co "neutral" and userName sw "neutral"', set()))
    bound = {"tenant": None, "type": "User", "base_url": "", "limit": 1, "offset": 0}

    assert page_statement(condition, None, relation=None, **bound).sql == page_statement(other, None, relation=None, **bound).sql
    scope, _ = populated
    assert (await resources.list_resources(scope, Query(condition), with_relation=False)).total == 0


async def test_members_and_groups_are_found_through_their_rows(database: Database, populated: Any) -> None:
    tenant = await new_tenant(database)
    users, groups = scope_of(database, tenant, USER), scope_of(database, tenant, GROUP)
    ann = await resources.create_resource(users, {"userName": "ann"}, set())
    bob = await resources.create_resource(users, {"userName": "bob"}, set())
    staff = await resources.create_resource(groups, {"displayName": "Staff", "members": [{"value": str(ann.id)}]}, set())

    async def found(scope: Any, text: str) -> set[Any]:
        condition = resolve_filter(scope.resource_type, parse_filter(text, set()))
        return {record.id for record in (await resources.list_resources(scope, Query(condition), with_relation=True)).records}

    assert await found(groups, f'members eq "{ann.id}"') == {staff.id}
    assert await found(groups, f'id eq "{staff.id}" and members.value eq "{ann.id}"') == {staff.id}
    assert await found(groups, f'members eq "{bob.id}"') == set()
    assert await found(users, f'groups eq "{staff.id}"') == {ann.id}
    assert await found(users, "not (groups pr)") == {bob.id}
