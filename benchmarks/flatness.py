"""Does a tenant of a million users, beside ten thousand small ones, cost what a tenant of a thousand costs? (interleaved, one run)"""

import argparse
import asyncio
import itertools
import json
import time
from pathlib import Path
from statistics import median
from urllib.parse import quote_plus

from benchmarks.cpu import cpu_seconds, family
from benchmarks.report import middle, row
from benchmarks.stage import Stage
from benchmarks.wire import Connection, prepare

WIDTHS = (12, 12, 9, 12, 12, 12, 12)
HEAD = ("big p50 ms", "small p50", "ratio", "app us", "app us", "pg us", "pg us")


class Side:
    """One of the two tenants that are compared."""

    def __init__(self, slug: str, users: int, secret: str) -> None:
        self.slug, self.users, self.secret = slug, users, secret
        self.path = f"/t/{slug}/scim/v2"
        self.ids: dict[int, str] = {}
        self.created = itertools.count(int(time.time() * 1000))
        self.picked = itertools.cycle(range(7, users, max(users // 311, 1)))

    def find(self, text: str) -> bytes:
        return prepare("GET", f"{self.path}/Users?filter={quote_plus(text)}", self.secret)

    def request(self, operation: str) -> bytes:
        number = next(self.picked)
        match operation:
            case "GET by id":
                return prepare("GET", f"{self.path}/Users/{self.ids[number]}", self.secret)
            case "userName eq":
                return self.find(f'userName eq "user{number}@{self.slug}.example"')
            case "externalId eq":
                return self.find(f'externalId eq "{self.slug}-{number}"')
            case "emails.value eq":
                return self.find(f'emails.value eq "user{number}@mail.{self.slug}.example"')
            case "POST":
                name = f"new{next(self.created)}@{self.slug}.example"
                body = {"userName": name, "displayName": name, "externalId": name, "active": True, "emails": [{"type": "work", "value": name, "primary": True}]}
                return prepare("POST", f"{self.path}/Users", self.secret, json.dumps(body).encode())
            case _:
                value = "True" if next(self.created) % 2 else "False"
                body = {
                    "Operations": [{"op": "Replace", "path": "active", "value": value}, {"op": "Replace", "path": "title", "value": str(next(self.created))}]
                }
                return prepare("PATCH", f"{self.path}/Users/{self.ids[number]}", self.secret, json.dumps(body).encode())

    async def learn_ids(self, connection: Connection) -> None:
        for number in {next(self.picked) for _ in range(400)}:
            _, body, _ = await connection.send(self.find(f'userName eq "user{number}@{self.slug}.example"'))
            self.ids[number] = json.loads(body)["Resources"][0]["id"]


OPERATIONS = ("GET by id", "userName eq", "externalId eq", "emails.value eq", "POST", "PATCH")


async def measure(stage: Stage, sides: tuple[Side, Side], rounds: int, requests: int) -> None:
    connection = await Connection("127.0.0.1", stage.port).open()
    app = family(stage.service.pid)
    for side in sides:
        await side.learn_ids(connection)
    print(row("", *HEAD, widths=WIDTHS))
    for operation in OPERATIONS:
        results: dict[str, list[tuple[float, float, float]]] = {side.slug: [] for side in sides}
        for number in range(rounds + 1):
            for side in sides if number % 2 else reversed(sides):
                prepared = [side.request(operation) for _ in range(requests)]
                postgres = family(stage.postgres_pid)
                before = cpu_seconds(app), cpu_seconds(postgres)
                times = []
                for request in prepared:
                    status, body, seconds = await connection.send(request)
                    assert status in (200, 201), (operation, status, body)
                    times.append(seconds * 1000)
                after = cpu_seconds(app), cpu_seconds(postgres)
                if number:  # the first round warms up
                    results[side.slug].append((median(times), (after[0] - before[0]) / requests * 1e6, (after[1] - before[1]) / requests * 1e6))
        big, small = ([middle([one[column] for one in results[side.slug]]) for column in range(3)] for side in sides)
        ratio = middle([one[0] / other[0] for one, other in zip(results[sides[0].slug], results[sides[1].slug], strict=True)])
        print(row(operation, big[0], small[0], ratio, round(big[1]), round(small[1]), round(big[2]), round(small[2]), widths=WIDTHS), flush=True)
    connection.close()


async def measure_groups(stage: Stage, side: Side, rounds: int, requests: int) -> None:
    """Adding (and taking away) one member: a group of 100,000 beside a group of 10."""
    connection = await Connection("127.0.0.1", stage.port).open()
    app = family(stage.service.pid)
    groups = {}
    for name in ("Group 0", "big group"):
        wanted = quote_plus(f'displayName eq "{name}"')
        _, body, _ = await connection.send(prepare("GET", f"{side.path}/Groups?excludedAttributes=members&filter={wanted}", side.secret))
        groups[name] = json.loads(body)["Resources"][0]["id"]
    member = next(iter(side.ids.values()))
    results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in groups}
    for number in range(rounds + 1):
        for name, group in list(groups.items())[:: 1 if number % 2 else -1]:
            bodies = [json.dumps({"Operations": [{"op": op, "path": "members", "value": [{"value": member}]}]}).encode() for op in ("Remove", "Add")]
            prepared = [prepare("PATCH", f"{side.path}/Groups/{group}", side.secret, body) for body in bodies] * (requests // 2)
            postgres = family(stage.postgres_pid)
            before = cpu_seconds(app), cpu_seconds(postgres)
            times = []
            for request in prepared:
                status, body, seconds = await connection.send(request)
                assert status == 204, body
                times.append(seconds * 1000)
            after = cpu_seconds(app), cpu_seconds(postgres)
            if number:
                results[name].append((median(times), (after[0] - before[0]) / requests * 1e6, (after[1] - before[1]) / requests * 1e6))
    big, small = ([middle([one[column] for one in results[name]]) for column in range(3)] for name in ("big group", "Group 0"))
    ratio = middle([one[0] / other[0] for one, other in zip(results["big group"], results["Group 0"], strict=True)])
    print(row("member, 100,000 : 10", big[0], small[0], ratio, round(big[1]), round(small[1]), round(big[2]), round(small[2]), widths=WIDTHS), flush=True)
    connection.close()


def seed(stage: Stage, users: int, tenants: int, members: int) -> tuple[Side, Side]:
    stage.run("seed", "--prefix", "small", "--tenants", str(tenants), "--users", "10", "--groups", "1", "--members", "5")
    stage.run("seed", "--prefix", "k", "--tenants", "1", "--users", "1000", "--groups", "1", "--members", "10")
    stage.run("seed", "--prefix", "m", "--tenants", "1", "--users", str(users), "--groups", "1", "--members", "10")
    sides = Side("m-1", users, stage.secret("m-1")), Side("k-1", 1000, stage.secret("k-1"))
    asyncio.run(make_big_group(stage, sides[0], members))
    return sides


async def make_big_group(stage: Stage, side: Side, members: int) -> None:
    from rollhouse.database.pool import Database
    from rollhouse.directory.bulk import insert_members, insert_resources
    from rollhouse.scim.schemas import GROUP, GROUP_URN
    from rollhouse.tenancy.tenants import find_tenant

    database = Database(stage.postgres.url("rollhouse_app"), connections=1)
    await database.open()
    tenant = await find_tenant(database, side.slug)
    async with database.transaction(tenant.id) as tx:
        if await tx.fetch("SELECT FROM rollhouse.resource_keys WHERE resource_type = 'Group' AND attribute = 'displayname' AND key = 'big group'"):
            await database.close()
            return
        ids = [row[0] for row in await tx.fetch("SELECT id FROM rollhouse.resources WHERE resource_type = 'User' ORDER BY id LIMIT $1", members)]
    group = (await insert_resources(database, tenant.id, GROUP, [{"schemas": [GROUP_URN], "displayName": "big group"}]))[0]
    await insert_members(database, tenant.id, group, ids)
    await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--data-dir", type=Path, default=Path(".rollhouse/bench").absolute())
    options = parser.parse_args()
    with Stage(options.data_dir) as stage:
        sides = seed(stage, options.users, options.tenants, options.members)
        print(
            f"A tenant of {options.users:,} users and {options.tenants:,} small tenants, against a tenant of 1,000; c=1, {options.rounds} rounds of {options.requests}"
        )
        asyncio.run(measure(stage, sides, options.rounds, options.requests))
        asyncio.run(measure_groups(stage, sides[0], options.rounds, options.requests))


if __name__ == "__main__":
    main()
