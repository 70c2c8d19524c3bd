"""Definitions under live data: what fits is taken and kept up to date, what would break is refused with the resources that it would break."""

import asyncio
from typing import Any

import pytest

from rollhouse.database.pool import Database
from rollhouse.directory import registries, resources
from rollhouse.directory.registries import DoesNotFit, Registries
from rollhouse.directory.resources import Query
from rollhouse.directory.scopes import Scope
from rollhouse.journal import audit
from rollhouse.journal.audit import UNATTENDED
from rollhouse.scim.conditions import resolve_filter
from rollhouse.scim.definitions import Definitions, read_resource_type, read_schema
from rollhouse.scim.errors import InvalidValue, NotFound, Unavailable, Uniqueness
from rollhouse.scim.filters import parse_filter
from rollhouse.scim.registry import STANDARD, Registry
from rollhouse.scim.schemas import USER_URN
from rollhouse.tenancy import tenants
from rollhouse.tenancy.tenants import Tenant

BADGE_URN = "urn:example:params:scim:schemas:Badge"
THING_URN = "urn:example:params:scim:schemas:Thing"


def badge(*attributes: dict[str, Any]) -> Any:
    return read_schema({"id": BADGE_URN, "name": "Badge", "attributes": list(attributes)})


def extending(schema: Any, *, required: bool = False) -> Any:
    return lambda known: known.with_schema(schema).extended("User", BADGE_URN, required=required)


async def change(database: Database, tenant: Tenant, edit: Any) -> Registry:
    return await registries.change_definitions(database, tenant, edit, cause=UNATTENDED, action="schema.defined", target=("Schema", "x"))


async def scope_now(database: Database, tenant: Tenant, name: str = "User") -> Scope:
    current = await tenants.find_tenant(database, tenant.slug)
    registry = await Registries(database).of(current)
    return Scope(database, tenant.id, registry.by_name[name], "https://scim.example", registry=registry.revision)


async def add(database: Database, tenant: Tenant, name: str, **attributes: Any) -> str:
    scope = await scope_now(database, tenant)
    return str((await resources.create_resource(scope, {"schemas": [USER_URN], "userName": name, **attributes}, set())).id)


async def found(database: Database, tenant: Tenant, text: str) -> list[str]:
    scope = await scope_now(database, tenant)
    page = await resources.list_resources(scope, Query(resolve_filter(scope.resource_type, parse_filter(text, set()))), with_relation=False)
    return [str(record.id) for record in page.records]


async def everything(database: Database, tenant: Tenant) -> list[list[tuple[Any, ...]]]:
    """Every row that a change of definitions may touch."""
    columns = {
        "resources": "id, version, document, last_modified",
        "resource_keys": "resource_id, attribute, key, is_unique",
        "audit": "action, target_id",
        "schemas": "*",
        "resource_types": "*",
    }
    async with database.transaction(tenant.id) as tx:
        return [sorted((tuple(row) for row in await tx.fetch(f"SELECT {names} FROM rollhouse.{table}")), key=str) for table, names in columns.items()]


async def test_what_was_kept_opaquely_is_read_by_the_new_schema(database: Database, tenant: Tenant) -> None:
    """Text booleans and numbers that came before the schema become what it declares; keys are there at once."""
    ann = await add(database, tenant, "ann", **{BADGE_URN: {"serial": 17, "valid": "True", "level": "3"}})
    await add(database, tenant, "bob")

    attributes = ({"name": "serial", "uniqueness": "server"}, {"name": "valid", "type": "boolean"}, {"name": "level", "type": "integer", "indexed": True})
    await change(database, tenant, extending(badge(*attributes)))

    record = await resources.get_resource(await scope_now(database, tenant), ann, with_relation=False)
    assert f'"{BADGE_URN}":{{"serial":"17","valid":true,"level":3}}' in record.document
    assert record.version == 2
    assert await found(database, tenant, f'{BADGE_URN}:serial eq "17"') == [ann]
    assert await found(database, tenant, f"{BADGE_URN}:level eq 3") == [ann]
    assert await found(database, tenant, f"{BADGE_URN}:valid eq true") == [ann]
    entries = [one.action for one in await audit.list_entries(database, tenant.id)]
    assert entries.count("resource.updated") == 1
    assert entries[-1] == "schema.defined"
    with pytest.raises(Uniqueness):
        await add(database, tenant, "cy", **{BADGE_URN: {"serial": "17"}})


@pytest.mark.parametrize(
    ("attributes", "required", "reason"),
    [
        ([{"name": "serial", "type": "integer"}], False, "serial"),
        ([{"name": "serial", "canonicalValues": ["x"]}], False, "must be one of x"),
        ([{"name": "other"}], False, "not declared"),
        ([{"name": "serial", "returned": "never"}], False, "never returned"),
        ([{"name": "serial", "mutability": "readOnly"}], False, "read-only"),
        ([{"name": "serial"}, {"name": "more", "required": True}], False, "more is required"),
        ([{"name": "serial"}], True, "is required"),
        ([{"name": "serial", "uniqueness": "server"}], False, "shares the"),
        ([{"name": "serial", "type": "complex", "subAttributes": [{"name": "x"}]}], False, "serial"),
    ],
)
async def test_what_a_resource_does_not_fit_is_refused_and_nothing_is_changed(
    database: Database, tenant: Tenant, attributes: list[dict[str, Any]], required: bool, reason: str
) -> None:
    ids = [await add(database, tenant, f"u{number}", **{BADGE_URN: {"serial": "same"}}) for number in range(3)]
    bare = await add(database, tenant, "bare")
    edit = extending(badge(*attributes), required=required)
    before = await everything(database, tenant)

    offences = await registries.try_definitions(database, tenant, edit, cause=UNATTENDED)
    with pytest.raises(DoesNotFit) as refusal:
        await change(database, tenant, edit)

    assert refusal.value.offences == offences
    assert {str(one.id) for one in offences} <= {*ids, bare}
    assert offences
    assert all(reason in one.reason for one in offences), offences
    assert str(offences[0].id) in refusal.value.detail
    assert (await tenants.find_tenant(database, tenant.slug)).registry == 0
    assert await everything(database, tenant) == before


async def test_neither_a_trial_nor_a_refusal_rewrites_what_fits(database: Database, tenant: Tenant) -> None:
    """Of three, one fits and would be rewritten, one fits as it is, and one does not fit."""
    await add(database, tenant, "ann", **{BADGE_URN: {"level": "1"}})
    await add(database, tenant, "bob", **{BADGE_URN: {"level": 2}})
    good, bad = badge({"name": "level", "type": "integer", "indexed": True}), {BADGE_URN: {"level": "tall"}}
    before = await everything(database, tenant)

    assert await registries.try_definitions(database, tenant, extending(good), cause=UNATTENDED) == []
    assert await everything(database, tenant) == before

    cy = await add(database, tenant, "cy", **bad)
    before = await everything(database, tenant)
    assert [str(one.id) for one in await registries.try_definitions(database, tenant, extending(good), cause=UNATTENDED)] == [cy]
    assert await everything(database, tenant) == before
    with pytest.raises(DoesNotFit):
        await change(database, tenant, extending(good))
    assert await everything(database, tenant) == before


async def test_tightening_and_loosening(database: Database, tenant: Tenant) -> None:
    await change(database, tenant, extending(badge({"name": "serial"})))
    one = await add(database, tenant, "one", **{BADGE_URN: {"serial": "1"}})
    two = await add(database, tenant, "two", **{BADGE_URN: {"serial": "2"}})

    await change(database, tenant, extending(badge({"name": "serial", "uniqueness": "server"}), required=True))
    with pytest.raises(Uniqueness):
        await add(database, tenant, "clash", **{BADGE_URN: {"serial": "2"}})
    with pytest.raises(InvalidValue):
        await add(database, tenant, "bare")
    await change(database, tenant, extending(badge({"name": "serial"}, {"name": "more"})))
    third = await add(database, tenant, "third", **{BADGE_URN: {"serial": "2"}})
    assert await found(database, tenant, f'{BADGE_URN}:serial eq "2"') == sorted([two, third])
    with pytest.raises(DoesNotFit):
        await change(database, tenant, extending(badge({"name": "serial", "uniqueness": "server"})))
    assert await found(database, tenant, f'{BADGE_URN}:serial eq "1"') == [one]


async def test_global_is_held_as_server_and_tells_no_tenant_of_anothers_values(database: Database, tenant: Tenant, other_tenant: Tenant) -> None:
    for one in (tenant, other_tenant):
        await change(database, one, extending(badge({"name": "serial", "uniqueness": "global"})))
        await add(database, one, "ann", **{BADGE_URN: {"serial": "1"}})
        with pytest.raises(Uniqueness):
            await add(database, one, "bob", **{BADGE_URN: {"serial": "1"}})


async def test_removal_waits_until_nobody_needs_it(database: Database, tenant: Tenant) -> None:
    await change(database, tenant, extending(badge({"name": "serial"})))
    ann = await add(database, tenant, "ann", **{BADGE_URN: {"serial": "1"}})

    with pytest.raises(DoesNotFit, match="would be gone"):
        await change(database, tenant, lambda known: known.without_schema(BADGE_URN))
    await resources.delete_resource(await scope_now(database, tenant), ann, expected=None)
    registry = await change(database, tenant, lambda known: known.without_schema(BADGE_URN))

    assert BADGE_URN.lower() not in registry.schemas
    with pytest.raises(NotFound):
        await change(database, tenant, lambda known: known.without_schema(BADGE_URN))


async def test_a_type_with_resources_stays(database: Database, tenant: Tenant) -> None:
    def add_type(known: Definitions) -> Definitions:
        schema = read_schema({"id": THING_URN, "name": "Thing", "attributes": [{"name": "size", "type": "integer"}]})
        return known.with_schema(schema).with_type(read_resource_type({"name": "Thing", "endpoint": "/Things", "schema": THING_URN}))

    await change(database, tenant, add_type)
    scope = await scope_now(database, tenant, "Thing")
    one = await resources.create_resource(scope, {"schemas": [THING_URN], "size": 1}, set())
    with pytest.raises(DoesNotFit, match="resource type would be gone"):
        await change(database, tenant, lambda known: known.without_type("Thing"))
    await resources.delete_resource(scope, str(one.id), expected=None)
    assert "Thing" not in (await change(database, tenant, lambda known: known.without_type("Thing"))).by_name


async def test_who_writes_by_an_older_registry_is_asked_to_try_again(database: Database, tenant: Tenant) -> None:
    old = await scope_now(database, tenant)
    await change(database, tenant, extending(badge({"name": "serial", "uniqueness": "server"})))

    with pytest.raises(Unavailable, match="schemas have just been changed"):
        await resources.create_resource(old, {"schemas": [USER_URN], "userName": "late"}, set())


async def test_no_write_slips_between_a_change_and_its_keys(database: Database, tenant: Tenant) -> None:
    """Writers all the while: whoever got in has its key, and no two share one."""
    await change(database, tenant, extending(badge({"name": "serial"})))
    ending = asyncio.Event()
    written: list[str] = []

    async def write(first: int) -> None:
        number = first
        while not ending.is_set():
            try:
                scope = await scope_now(database, tenant)
                body = {"schemas": [USER_URN], "userName": f"w{number}", BADGE_URN: {"serial": f"s{number}"}}
                written.append(str((await resources.create_resource(scope, body, set())).id))
            except Unavailable:
                continue
            number += 2

    writers = [asyncio.create_task(write(first)) for first in (0, 1)]
    for _ in range(5):
        await asyncio.sleep(0.05)
        await change(database, tenant, extending(badge({"name": "serial", "uniqueness": "server"})))
        await asyncio.sleep(0.05)
        await change(database, tenant, extending(badge({"name": "serial"})))
    await change(database, tenant, extending(badge({"name": "serial", "uniqueness": "server"})))
    ending.set()
    await asyncio.gather(*writers)

    assert len(written) > 10
    async with database.transaction(tenant.id) as tx:
        (row,) = await tx.fetch(
            "SELECT count(*) AS keys, count(*) FILTER (WHERE is_unique) AS held FROM rollhouse.resource_keys WHERE attribute = $1",
            f"{BADGE_URN}:serial".lower(),
        )
    assert (row["keys"], row["held"]) == (len(written), len(written))


async def test_who_is_deleted_during_a_change_leaves_no_key(database: Database, tenant: Tenant) -> None:
    people = [await add(database, tenant, f"u{number}", **{BADGE_URN: {"serial": f"s{number}"}}) for number in range(60)]

    async def delete_all() -> None:
        for one in people:
            await resources.delete_resource(await scope_now(database, tenant), one, expected=None)

    deleting = asyncio.create_task(delete_all())
    marked = False
    while not deleting.done():
        marked = not marked
        await change(database, tenant, extending(badge({"name": "serial", "indexed": marked})))
    await deleting

    _, keys, *_ = await everything(database, tenant)
    assert keys == []


async def test_a_trial_loses_no_write(database: Database, tenant: Tenant) -> None:
    trials = [
        registries.try_definitions(database, tenant, extending(badge({"name": "serial", "uniqueness": "server"}, {"name": f"a{at}"})), cause=UNATTENDED)
        for at in range(5)
    ]
    trying = asyncio.gather(*trials)
    written = [await add(database, tenant, f"u{number}", **{BADGE_URN: {"serial": f"s{number}"}}) for number in range(20)]

    assert await trying == [[]] * 5
    kept, keys, *_ = await everything(database, tenant)
    assert sorted(str(row[0]) for row in kept) == sorted(written)
    assert not [row for row in keys if row[1].startswith(BADGE_URN.lower())], "what is tried gives no keys"


async def test_one_tenants_registry_is_nobody_elses(database: Database, tenant: Tenant, other_tenant: Tenant) -> None:
    await change(database, tenant, extending(badge({"name": "serial"})))
    kept = Registries(database)

    mine = await kept.of(await tenants.find_tenant(database, tenant.slug))
    assert BADGE_URN.lower() in mine.by_name["User"].schemas
    assert await kept.of(other_tenant) is STANDARD
    assert await kept.of(await tenants.find_tenant(database, tenant.slug)) is mine, "it is remembered"
