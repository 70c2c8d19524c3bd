"""`rollhouse seed`: many tenants, users, groups and members at once, for trying out and for measuring."""

import sys
from typing import Any
from uuid import UUID

import click

from rollhouse.cli.invocation import Invocation, command, pass_invocation
from rollhouse.cli.root import rollhouse
from rollhouse.database.pool import Database
from rollhouse.directory.bulk import BATCH, insert_members, insert_resources
from rollhouse.journal.audit import cause_of
from rollhouse.scim.attributes import Document
from rollhouse.scim.errors import NotFound
from rollhouse.scim.schemas import ENTERPRISE_URN, GROUP, GROUP_URN, USER, USER_URN
from rollhouse.tenancy import tenants
from rollhouse.tenancy.tenants import Tenant


@command(rollhouse, "seed", example="rollhouse seed --tenants 10 --users 1000 --groups 20 --members 50")
@click.option("--tenants", "tenant_count", type=click.IntRange(1), default=1, show_default=True, help="How many tenants.")
@click.option("--users", type=click.IntRange(0), default=100, show_default=True, help="Users of each tenant.")
@click.option("--groups", type=click.IntRange(0), default=0, show_default=True, help="Groups of each tenant.")
@click.option("--members", type=click.IntRange(0), default=0, show_default=True, help="Members of each group (at most the users).")
@click.option("--prefix", default="seed", show_default=True, help="Slugs are PREFIX-1, PREFIX-2, ...")
@pass_invocation
def seed(invocation: Invocation, tenant_count: int, users: int, groups: int, members: int, prefix: str) -> None:
    """Fill tenants with people. A tenant that exists already is left as it is."""
    total = tenant_count * (users + groups * (1 + min(members, users)))

    async def work(database: Database) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        with click.progressbar(length=total, label="Seeding", file=sys.stderr, show_pos=True) as bar:
            for number in range(1, tenant_count + 1):
                tenant, is_new = await _tenant(database, f"{prefix}-{number}")
                if is_new:
                    await _fill(database, tenant, users, groups, min(members, users), bar.update)
                made.append({"id": tenant.id, "slug": tenant.slug, "is_new": is_new})
        return made

    made: list[dict[str, Any]] = invocation.run(work)
    invocation.show(made, f"{sum(one['is_new'] for one in made)} tenants made, {len(made)} there. Give one a secret: rollhouse secret create {prefix}-1")


async def _tenant(database: Database, slug: str) -> tuple[Tenant, bool]:
    try:
        return await tenants.find_tenant(database, slug), False
    except NotFound:
        return await tenants.create_tenant(database, slug, slug.capitalize(), cause=cause_of("cli")), True


async def _fill(database: Database, tenant: Tenant, users: int, groups: int, members: int, done: Any) -> None:
    ids: list[UUID] = []
    for start in range(0, users, BATCH):
        batch = [seeded_user(tenant.slug, number) for number in range(start, min(start + BATCH, users))]
        ids += await insert_resources(database, tenant.id, USER, batch)
        done(len(batch))
    for number in range(groups):
        document = {"schemas": [GROUP_URN], "displayName": f"Group {number}", "externalId": f"group-{number}"}
        group_id = (await insert_resources(database, tenant.id, GROUP, [document]))[0]
        first = number * members % max(len(ids), 1)
        chosen = (ids[first:] + ids[:first])[:members]
        await insert_members(database, tenant.id, group_id, chosen)
        done(1 + len(chosen))


def seeded_user(slug: str, number: int) -> Document:
    """The document of the tenant's user of that number, the same at every call."""
    name = f"user{number}"
    return {
        "schemas": [USER_URN, ENTERPRISE_URN],
        "userName": f"{name}@{slug}.example",
        "externalId": f"{slug}-{number}",
        "displayName": f"User {number}",
        "name": {"givenName": "User", "familyName": str(number)},
        "active": number % 20 != 19,  # noqa: PLR2004 - one in twenty has left
        "title": "Engineer",
        "emails": [{"value": f"{name}@mail.{slug}.example", "type": "work", "primary": True}],
        "phoneNumbers": [{"value": f"+47 22 {number:08d}", "type": "work"}],
        ENTERPRISE_URN: {"employeeNumber": str(number), "department": f"Department {number % 40}"},
    }
