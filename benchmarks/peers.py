"""Rollhouse beside pgbench's limit and two other SCIM servers: CPU and latency of each hot operation, interleaved in one run, and the ratios of the goals."""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median

import asyncpg
import msgspec

from benchmarks.cpu import cpu_of_each, family, spent_seconds
from benchmarks.peer_servers.goals import HUGE, LARGE, LIMIT, OURS, SMALL, Ratio, ratios, shown
from benchmarks.peer_servers.limit import AUDIT, AUDIT_ROWS, Limit
from benchmarks.peer_servers.operations import CONNECTIONS, FIND, GET, PAGE, PATCH, POST, add_to, ways_of
from benchmarks.peer_servers.picture import draw
from benchmarks.peer_servers.samples import Figures, Found, Key, NoRatio, median_total, medians, percentile
from benchmarks.peer_servers.servers import DjangoServer, MemoryServer, PeerServer, install, slug_of, versions
from benchmarks.peer_servers.subjects import DjangoSubject, Subject
from benchmarks.stage import Stage

SIZES = {"quick": [SMALL], "large": [SMALL, LARGE], "full": [SMALL, LARGE, HUGE]}
GROUPS = {SMALL: [100], LARGE: [100, 10_000], HUGE: [100_000]}
"""Sizes of the groups, in the directory of which they are; of a group in the smallest nothing is measured where there is a larger one."""
QUIET_SECONDS = 0.4
"""How long a measurement goes on behind its last request: Rollhouse writes its request log every 0.2 s."""
PEER_LIMIT = LARGE
"""Users of the largest directory that the other servers are given."""
Measured = AsyncIterator[tuple[Key, Figures]]
WIDTHS = (12, 4, 13, 13, 13, 12, 12, 9)


def say(text: str) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    print(f"{text:<100}" if sys.stderr.isatty() else text, end=end, file=sys.stderr, flush=True)


async def measure_subject(subject: Subject, operation: str, connections: int, count: int, seconds: float, stage: Stage) -> Figures:
    """One measurement; what it leaves is undone behind it."""
    requests = subject.requests(operation, count)
    before = cpu_of_each(subject.processes()), cpu_of_each(family(stage.postgres_pid))
    answers = await subject.measured(operation, requests, connections, seconds)
    await asyncio.sleep(QUIET_SECONDS)
    after = cpu_of_each(subject.processes()), cpu_of_each(family(stage.postgres_pid))
    await subject.undo(operation, answers)
    each = 1e6 / len(answers)
    taken = sorted(one.seconds * 1000 for one in answers)
    return Figures(
        app_us=spent_seconds(before[0], after[0]) * each,
        postgres_us=spent_seconds(before[1], after[1]) * each if subject.uses_postgres else 0.0,
        p50_ms=median(taken),
        p99_ms=percentile(taken, 0.99),
        requests=len(answers),
    )


async def measure_limit(limit: Limit, operation: str) -> Measured:
    if operation != AUDIT:
        for connections in (1, 8) if operation in CONNECTIONS else (1,):
            yield Key(operation, limit.users, limit.name, connections), await limit.measured(operation, connections)
        return
    one, eleven = [await limit.measured(rows, 8) for rows in AUDIT_ROWS]
    rest = [getattr(eleven, name) - getattr(one, name) for name in ("postgres_us", "p50_ms", "p99_ms")]
    # pgbench sends the same in both: what its own CPU differs by is chance.
    yield Key(AUDIT, limit.users, limit.name, 8), Figures(0.0, *rest, eleven.requests).divided(10)


async def measure(stage: Stage, turn: list[Subject | Limit], options: argparse.Namespace) -> Found:
    """Every operation of every subject, round by round; the first round warms up and does not count."""
    found: Found = {}
    for one in turn:
        say(f"{one}: getting ready")
        await one.open()
    await settle(stage)
    for number in range(options.rounds + 1):
        ordered = turn if number % 2 else turn[::-1]
        results = [one async for one in measure_round(stage, ordered, options.seconds, f"round {number} of {options.rounds}")]
        if number:
            for key, figures in results:
                found.setdefault(key, []).append(figures)
    for limit in (one for one in turn if isinstance(one, Limit)):
        await limit.close()
    return found


async def measure_round(stage: Stage, turn: list[Subject | Limit], seconds: float, name: str) -> Measured:
    """Every operation once: of one subject after the other, so that what is compared is measured within seconds."""
    sizes = sorted({size for one in turn for size in one.groups})
    for operation in (GET, FIND, PAGE, POST, PATCH, AUDIT, *(add_to(size) for size in sizes)):
        for one in turn:
            if operation == AUDIT and isinstance(one, Subject):
                continue
            if operation.startswith("add") and operation not in {add_to(size) for size in one.groups}:
                continue
            say(f"{name}, {one}: {operation}")
            if isinstance(one, Limit):
                async for found in measure_limit(one, operation):
                    yield found
            else:
                for connections, count in ways_of(operation).items():
                    yield Key(operation, one.users, one.name, connections), await measure_subject(one, operation, connections, count, seconds, stage)


async def settle(stage: Stage) -> None:
    """Statistics and visibility as they are in a directory that has been there for a while, so that no vacuum comes in between."""
    say("vacuum")
    connection = await asyncpg.connect(stage.postgres.url("postgres"))
    await connection.execute("VACUUM (ANALYZE)")
    await connection.execute("CHECKPOINT")
    await connection.close()


async def make_groups(stage: Stage, slug: str, sizes: list[int]) -> dict[int, str]:
    """The ids of Rollhouse's groups of the first users, made if they are not there."""
    from rollhouse.database.pool import Database
    from rollhouse.directory.bulk import insert_members, insert_resources
    from rollhouse.scim.schemas import GROUP, GROUP_URN
    from rollhouse.tenancy.tenants import find_tenant

    database = Database(stage.postgres.url("rollhouse_app"), connections=1)
    await database.open()
    tenant = await find_tenant(database, slug)
    found = {}
    for size in sizes:
        async with database.transaction(tenant.id, statement_timeout_milliseconds=60_000) as tx:
            named = (
                "SELECT resource_id FROM rollhouse.resource_keys WHERE tenant_id = $1 AND resource_type = 'Group' AND attribute = 'displayname' AND key = $2"
            )
            there = await tx.fetch(named, tenant.id, f"group of {size}")
            first = await tx.fetch("SELECT id FROM rollhouse.resources WHERE tenant_id = $1 AND resource_type = 'User' ORDER BY id LIMIT $2", tenant.id, size)
        if there:
            found[size] = str(there[0][0])
            continue
        document = {"schemas": [GROUP_URN], "displayName": f"Group of {size}"}
        group = (await insert_resources(database, tenant.id, GROUP, [document]))[0]
        await insert_members(database, tenant.id, group, [row[0] for row in first])
        found[size] = str(group)
    await database.close()
    return found


def ours(stage: Stage, users: int, groups: list[int]) -> Subject:
    slug = slug_of(users)
    stage.run("seed", "--prefix", slug.removesuffix("-1"), "--users", str(users))
    address = stage.port, f"/t/{slug}/scim/v2", stage.secret(slug)
    subject = Subject(OURS, slug, users, address, lambda: family(stage.service.pid), sends_text=True)
    subject.groups = asyncio.run(make_groups(stage, slug, groups))
    return subject


def theirs(server: PeerServer, groups: list[int]) -> Subject:
    kind = DjangoSubject if isinstance(server, DjangoServer) else Subject
    address = server.port, server.path, server.secret
    subject = kind(server.name, slug_of(server.users), server.users, address, server.family, sends_text=server.takes_text_for_booleans)
    subject.uses_postgres = server.uses_postgres
    subject.groups = {size: server.group_id(size) for size in groups}
    return subject


def print_figures(found: Found) -> None:
    head = ("users", "c", "app us", "postgres us", "total us", "p50 ms", "p99 ms", "requests")
    last = ""
    for key in sorted(found, key=lambda key: (list(order(found)).index(key.operation), key.users, key.subject != OURS, key.subject, key.connections)):
        if key.operation != last:
            last = key.operation
            print(f"\n{last:<24}" + "".join(f"{cell:>{width}}" for cell, width in zip(head, WIDTHS, strict=True)))
        one = medians(found[key])
        cpu = (f"{one.app_us:,.0f}", f"{one.postgres_us:,.0f}", f"{median_total(found[key]):,.0f}")
        cells = (f"{key.users:,}", key.connections, *cpu, f"{one.p50_ms:,.2f}", f"{one.p99_ms:,.2f}", one.requests)
        print(f"  {key.subject:<22}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True)))


def order(found: Found) -> dict[str, None]:
    """The operations as they were measured."""
    return dict.fromkeys(key.operation for key in found)


def print_ratios(all_ratios: list[Ratio], sizes: list[int]) -> None:
    columns = "".join(f"{users:>13,}" for users in sizes)
    print(f"\n{'CPU of Rollhouse : CPU of':<46}{columns}{'goal':>12}  met")
    for one in all_ratios:
        cells = "".join(f"{shown(one.by_users.get(users)):>13}" for users in sizes)
        verdict = {None: "-", True: "yes", False: "NO"}[one.is_met]
        print(f"{one.text:<46}{cells}{shown(one.goal):>12}  {verdict}")


def as_json(found: Found, all_ratios: list[Ratio], ran_on: dict[str, str], options: argparse.Namespace) -> str:
    cells = [{**msgspec.structs.asdict(key), "median": medians(rounds), "rounds": rounds} for key, rounds in sorted(found.items())]
    compared = [{**msgspec.structs.asdict(one), "is_met": one.is_met} for one in all_ratios]
    built = {"rounds": options.rounds, "sizes": SIZES[options.sizes], "ran_on": ran_on, "measured": cells, "ratios": compared}
    return json.dumps(msgspec.to_builtins(built, str_keys=True), indent=1) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count; one more warms up (default: 5)")
    parser.add_argument("--sizes", choices=SIZES, default="full", help="quick: 1,000 users; large: 100,000, too; full: 1,000,000 of Rollhouse, too (default)")
    parser.add_argument(
        "--seconds", type=float, default=6, help="after how long a measurement takes no further request (default: 6); three are always completed"
    )
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--picture", type=Path, help="draw the comparison as SVG to this file")
    parser.add_argument("--data-dir", type=Path, default=Path(".rollhouse/bench").absolute())
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        compare(options)
    except NoRatio as error:
        raise SystemExit(str(error)) from error


def compare(options: argparse.Namespace) -> None:
    """Measure, print, and write what is asked for."""
    sizes = SIZES[options.sizes]
    groups = {users: GROUPS[users] for users in sizes if users != SMALL or len(sizes) == 1}
    say("installing the peers")
    programs = install(Path(".rollhouse/peers").absolute())
    with contextlib.ExitStack() as stack:
        stage = stack.enter_context(Stage(options.data_dir))
        ran_on = stage.ran_on() | versions(programs)
        turn: list[Subject | Limit] = []
        for users in sizes:
            own = groups.get(users, [])
            subject = ours(stage, users, own)
            turn += [subject, Limit(stage, users, subject.groups)]
            for kind in (MemoryServer, DjangoServer) if users <= PEER_LIMIT else ():
                say(f"{kind.name}: filling {users:,} users")
                turn.append(theirs(stack.enter_context(kind(stage, programs, users, own)), own))
        found = asyncio.run(measure(stage, turn, options))
    all_ratios = ratios(found, sizes)
    print(f"Medians of {options.rounds} interleaved rounds; CPU of one request in microseconds. {LIMIT}'s app is pgbench itself.")
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[1]:.1f} over the last five minutes.")
    print_figures(found)
    print_ratios(all_ratios, sizes)
    if options.json:
        options.json.write_text(as_json(found, all_ratios, ran_on, options))
    if options.picture:
        options.picture.write_text(draw(found, sizes, 10_000 if LARGE in sizes else 100))


if __name__ == "__main__":
    main()
