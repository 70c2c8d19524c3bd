"""A tenant with something in it, and its export."""

from pathlib import Path

import pytest

from rollhouse.database.pool import Database
from rollhouse.directory import resources, transfer
from rollhouse.directory.resources import Scope
from rollhouse.scim.schemas import GROUP_URN, USER_URN
from rollhouse.scim.tolerances import Noted
from rollhouse.tenancy.tenants import Tenant


async def fill(users: Scope, groups: Scope) -> None:
    """Thirty users with a password, and one group of all of them."""
    made = [
        await resources.create_resource(users, {"schemas": [USER_URN], "userName": f"user{number}", "password": "t0p-secret"}, Noted()) for number in range(30)
    ]
    members = [{"value": str(one.id)} for one in made]
    await resources.create_resource(groups, {"schemas": [GROUP_URN], "displayName": "All \\u0000", "members": members}, Noted())


async def age(database: Database, tenant: Tenant) -> None:
    """Make the deletion old enough for a purge without a wait."""
    await database.query("UPDATE rollhouse.tenants SET last_modified = last_modified - interval '1 minute' WHERE id = $1", tenant.id)


@pytest.fixture
async def exported(database: Database, tenant: Tenant, users: Scope, groups: Scope, tmp_path: Path) -> Path:
    """The export of a tenant of thirty users in one group; its manifest stands beside it."""
    await fill(users, groups)
    path = tmp_path / "acme.ndjson"
    await transfer.export_tenant(database, tenant, path)
    return path
