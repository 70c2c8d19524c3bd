"""Crawls by cursor: what the first and the 10,000th page of a million users cost (goal: within 1.5 times), and whether writers make a crawl of 100,000 lose or repeat anybody."""

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.report import middle, row
from benchmarks.stage import Stage

WIDTHS = (12, 12, 10)
SCIM = {"content-type": "application/scim+json"}


class Tenant:
    """One tenant's SCIM URL."""

    def __init__(self, session: aiohttp.ClientSession, stage: Stage, slug: str) -> None:
        self.session = session
        self.url = f"http://127.0.0.1:{stage.port}/t/{slug}/scim/v2"
        self.headers = SCIM | {"authorization": f"Bearer {stage.secret(slug)}"}

    async def send(self, method: str, path: str, body: Any = None, **parameters: Any) -> Any:
        async with self.session.request(method, self.url + path, json=body, params=parameters, headers=self.headers) as answer:
            found = await answer.json(content_type=None) if answer.status != 204 else None
            if answer.status >= 400:
                raise SystemExit(f"{method} {path} answered {answer.status}: {found}")
            return found


async def crawl(tenant: Tenant, count: int) -> tuple[list[str], list[float]]:
    """Every id, and how long each page took, in milliseconds."""
    ids: list[str] = []
    taken: list[float] = []
    cursor: str | None = ""
    while cursor is not None:
        started = time.perf_counter()
        page = await tenant.send("GET", "/Users", cursor=cursor, count=count, excludedAttributes="groups")
        taken.append((time.perf_counter() - started) * 1000)
        ids += [one["id"] for one in page["Resources"]]
        cursor = page.get("nextCursor")
    return ids, taken


async def write(tenant: Tenant, staying: list[str], ending: asyncio.Event, number: int) -> int:
    """Makes, changes and deletes users until told to end; everybody who was there before stays."""
    done = 0
    while not ending.is_set():
        made = await tenant.send("POST", "/Users", {"userName": f"writer{number}-{time.time_ns()}"})
        patch = {"Operations": [{"op": "replace", "path": "title", "value": str(done)}]}
        await tenant.send("PATCH", f"/Users/{staying[(done * 7919 + number) % len(staying)]}", patch)
        await tenant.send("DELETE", f"/Users/{made['id']}")
        done += 3
    return done


async def measure(stage: Stage, options: argparse.Namespace) -> None:
    async with aiohttp.ClientSession() as session:
        large, medium = Tenant(session, stage, "moved-1"), Tenant(session, stage, "crawl-1")
        ids, taken = await crawl(large, 100)
        edge = options.edge
        first, last = middle(taken[1 : edge + 1]), middle(taken[-edge - 1 : -1])
        print(row("page of 100, ms", f"page {1}", f"page {len(taken):,}", "ratio", widths=WIDTHS))
        print(row(f"median of {edge}", first, last, last / first, widths=WIDTHS))
        print(f"{len(ids):,} users met, {len(set(ids)):,} of them once; the first page, which says how many there are: {taken[0]:.1f} ms")

        before, _ = await crawl(medium, 200)
        ending = asyncio.Event()
        writers = [asyncio.create_task(write(medium, before, ending, number)) for number in range(options.writers)]
        met, pages = await crawl(medium, 200)
        ending.set()
        writes = sum(await asyncio.gather(*writers))
        lost, repeated = len(set(before) - set(met)), len(met) - len(set(met))
        print(f"{len(before):,} users crawled in {len(pages):,} pages under {writes:,} writes: {lost} lost, {repeated} repeated")
        if lost or repeated:
            raise SystemExit("a crawl lost or repeated somebody")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--crawled", type=int, default=100_000)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--edge", type=int, default=200, help="pages at each end of the long crawl whose median counts")
    parser.add_argument("--data-dir", type=Path, default=Path(".rollhouse/bench").absolute())
    options = parser.parse_args()
    with Stage(options.data_dir) as stage:
        stage.run("seed", "--prefix", "moved", "--users", str(options.users), "--groups", "10", "--members", str(options.users // 10))
        stage.run("seed", "--prefix", "crawl", "--users", str(options.crawled))
        asyncio.run(measure(stage, options))


if __name__ == "__main__":
    main()
