"""Members who join a group: one, or many in one request, by the same rules (migration 0009)."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from rollhouse.database.pool import Database
from rollhouse.directory import resources
from rollhouse.directory.scopes import Scope
from rollhouse.scim.definitions import Definitions, read_resource_type, read_schema
from rollhouse.scim.errors import InvalidValue
from rollhouse.scim.patching import Operation
from rollhouse.scim.schemas import USER
from rollhouse.scim.tolerances import Tolerance
from tests.conftest import Cluster
from tests.faults.stage import until

NOBODY = "01890000-0000-7000-8000-000000000000"


@pytest.fixture
async def ids(users: Scope, groups: Scope) -> dict[str, str]:
    """A group that bob is in, a group that is in none, and two who are in none."""
    found = {name: str((await resources.create_resource(users, {"userName": name}, set())).id) for name in ("ada", "bob", "cleo")}
    found["team"] = str((await resources.create_resource(groups, {"displayName": "Team"}, set())).id)
    members = [{"value": found["bob"]}]
    found["staff"] = str((await resources.create_resource(groups, {"displayName": "Staff", "members": members}, set())).id)
    return found | {"nobody": NOBODY}


async def join(groups: Scope, ids: dict[str, str], names: list[str], noted: set[Tolerance] | None = None) -> Any:
    members = [{"value": ids[name]} for name in names]
    return await resources.patch_resource(groups, ids["staff"], [Operation("add", "members", members)], noted if noted is not None else set(), expected=None)


async def staff(groups: Scope, ids: dict[str, str]) -> tuple[int, list[str], list[list[str]]]:
    """The version of the group, who is in it, and who joined by each change that the audit knows of."""
    names = {one: name for name, one in ids.items()}
    async with groups.database.transaction(groups.tenant_id) as tx:
        version = (await tx.fetch("SELECT version FROM rollhouse.resources WHERE id = $1", UUID(ids["staff"])))[0][0]
        kinds = await tx.fetch("SELECT member_id, member_type FROM rollhouse.memberships WHERE group_id = $1", UUID(ids["staff"]))
        audit = await tx.fetch("SELECT added FROM rollhouse.audit WHERE target_id = $1 AND action = 'resource.updated' ORDER BY id", ids["staff"])
    for member, kind in kinds:
        assert kind == ("Group" if names[str(member)] == "team" else "User")
    return version, sorted(names[str(member)] for member, _ in kinds), [sorted(names[str(member)] for member in row["added"]) for row in audit]


@pytest.mark.parametrize(
    ("named", "joined", "is_noted"),
    [
        (["ada"], ["ada"], False),
        (["team"], ["team"], False),
        (["ada", "cleo", "team"], ["ada", "cleo", "team"], False),
        (["bob"], [], False),
        (["bob", "ada"], ["ada"], False),
        (["ada", "ada"], ["ada"], False),
        (["ada", "nobody"], ["ada"], True),
        (["bob", "nobody"], [], True),
    ],
)
async def test_who_is_there_joins_and_is_audited_and_who_is_not_is_left_out(
    groups: Scope, ids: dict[str, str], named: list[str], joined: list[str], is_noted: bool
) -> None:
    noted: set[Tolerance] = set()

    await join(groups, ids, named, noted)

    assert await staff(groups, ids) == (1 + bool(joined), sorted(["bob", *joined]), [joined] if joined else [])
    assert (Tolerance.UNKNOWN_MEMBER in noted) == is_noted


@pytest.mark.parametrize("beside", [[], ["ada"]])
async def test_nobody_joins_from_another_tenant_nor_what_is_no_user_and_no_group(
    groups: Scope, ids: dict[str, str], database: Database, other_tenant: Any, beside: list[str]
) -> None:
    theirs = await resources.create_resource(Scope(database, other_tenant.id, USER, groups.base_url), {"userName": "theirs"}, set())
    schema = read_schema({"id": "urn:example:Badge", "name": "Badge", "attributes": [{"name": "number", "type": "string"}]})
    badge = Definitions().with_schema(schema).with_type(read_resource_type({"name": "Badge", "endpoint": "/Badges", "schema": "urn:example:Badge"}))
    ours = await resources.create_resource(Scope(database, groups.tenant_id, badge.registry(0).by_name["Badge"], groups.base_url), {"number": "7"}, set())
    for stranger in (theirs, ours):
        noted: set[Tolerance] = set()
        named = ids | {"stranger": str(stranger.id)}
        if beside:
            await join(groups, named, ["stranger", *beside], noted)
            assert Tolerance.UNKNOWN_MEMBER in noted
        else:
            with pytest.raises(InvalidValue, match=str(stranger.id)):
                await join(groups, named, ["stranger"])

    assert (await staff(groups, ids))[1] == sorted(["bob", *beside])


@pytest.mark.parametrize("named", [["nobody"], ["nobody", "other"]])
async def test_where_none_of_them_is_there_it_is_refused_by_their_ids(groups: Scope, ids: dict[str, str], named: list[str]) -> None:
    ids |= {"other": NOBODY.replace("8000", "9000")}

    with pytest.raises(InvalidValue, match=NOBODY):
        await join(groups, ids, named)

    assert await staff(groups, ids) == (1, ["bob"], [])


@pytest.mark.parametrize("beside", [[], ["cleo"]])
@pytest.mark.parametrize("is_deleted", [True, False])
async def test_who_is_just_being_deleted_is_waited_for_and_not_there_if_he_is(
    groups: Scope, ids: dict[str, str], cluster: Cluster, beside: list[str], is_deleted: bool
) -> None:
    other = await asyncpg.connect(cluster.superuser_url)
    try:
        change = other.transaction()
        await change.start()
        await other.execute("DELETE FROM rollhouse.resources WHERE id = $1", UUID(ids["ada"]))
        joining = asyncio.create_task(join(groups, ids, ["ada", *beside]))
        await until(lambda: other.fetchval("SELECT count(*) = 1 FROM pg_locks WHERE NOT granted"))
        assert not joining.done()
        await (change.commit() if is_deleted else change.rollback())
        if is_deleted and not beside:
            with pytest.raises(InvalidValue, match=ids["ada"]):
                await joining
        else:
            await joining
    finally:
        await other.close()

    joined = sorted([*beside, *([] if is_deleted else ["ada"])])
    assert await staff(groups, ids) == (1 + bool(joined), sorted(["bob", *joined]), [joined] if joined else [])
