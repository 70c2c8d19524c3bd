"""What each page of the portal costs for a tenant of 1,000,000 users beside one of 1,000, and the operators' pages over 10,000 tenants (goal: 300 ms)."""

import argparse
import asyncio
import http.cookiejar
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from uuid import UUID

from benchmarks.report import middle, row
from benchmarks.stage import Stage
from rollhouse.activity.entries import Entry
from rollhouse.activity.live import Live
from rollhouse.activity.request_log import RequestLog
from rollhouse.database.pool import Database

WIDTHS = (12, 12, 10)
PAGES = (
    "",
    "/users",
    "/users?state=active",
    "/users?state=inactive",
    "/users?state=inactive&q=user1",
    "/users?q=user99",
    "/users?q=user123456",
    "/groups",
    "/groups?q=group",
    "/activity",
    "/activity?kind=failures",
    "/reports",
    "/reports/users-without-email",
    "/reports/same-email",
    "/reports/empty-groups",
    "/reports/inactive-members",
    "/integrations",
    "/settings",
    "/audit",
)
ADMIN = ("/admin", "/admin/tenants", "/admin/tenants?q=t-99", "/admin/requests", "/admin/platform")
NOBODY = str(UUID(int=0))
ASKED = 6
"""Requests of each of the many tenants in the log, every third of which failed."""


def opener(url: str) -> urllib.request.OpenerDirector:
    """A browser that the link signs in."""
    found = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    token = url.rsplit("/", 1)[1]
    found.open(urllib.request.Request(url.rsplit("/", 1)[0], urllib.parse.urlencode({"token": token}).encode())).read()
    return found


async def log_requests(url: str, slugs: list[str]) -> None:
    """A log in which every tenant has asked for something; one in ten has asked for nothing that is there."""
    database = Database(url, connections=2)
    await database.open()
    try:
        log = RequestLog(database, Live(None), gap_seconds=300)
        for number, slug in enumerate(slugs):
            for at in range(ASKED):
                status = 404 if number % 10 == 0 or at % 3 == 1 else 200
                path, request_id = f"/scim/v2/{('Users', 'Groups')[at % 2]}/none", f"{number}-{at}"
                log.note(
                    Entry(
                        slug=slug,
                        request_id=request_id,
                        method="GET",
                        path=path,
                        query=b"",
                        status=status,
                        began=time.monotonic(),
                        seconds=0.001,
                        user_agent=b"a benchmark",
                        credential_id=NOBODY,
                    )
                )
            if number % 1000 == 0:
                await log.flush()
        await log.flush()
    finally:
        await database.close()


def read(browser: urllib.request.OpenerDirector, url: str) -> None:
    try:
        browser.open(url).read()
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{url} answered {error.code}: {error.read()[-2000:].decode()}") from None


def first_of(browser: urllib.request.OpenerDirector, base: str, kind: str) -> str:
    page = browser.open(f"{base}/{kind}").read().decode()
    found = re.search(rf'href="(/portal/[^"]*/{kind}/[0-9a-f-]+)"', page)
    return found[1].split(kind)[1] if found else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--data-dir", type=Path, default=Path(".rollhouse/bench").absolute())
    options = parser.parse_args()
    with Stage(options.data_dir) as stage:
        stage.run("seed", "--prefix", "moved", "--users", str(options.users), "--groups", "10", "--members", str(options.users // 10))
        stage.run("seed", "--prefix", "k", "--users", "1000", "--groups", "1", "--members", "10")
        many = stage.run("seed", "--prefix", "t", "--tenants", str(options.tenants), "--users", "3")
        asyncio.run(log_requests(stage.environment["ROLLHOUSE_DATABASE_URL"], [one["slug"] for one in many if one["is_new"]]))
        browser = opener(stage.run("operator", "link", "bench@rollhouse.example")["url"])
        slugs = ("moved-1", "k-1")
        bases = {slug: f"http://127.0.0.1:{stage.port}/portal/{slug}" for slug in slugs}
        asked = {slug: [*PAGES, *(f"/{kind}{first_of(browser, base, kind)}" for kind in ("users", "groups"))] for slug, base in bases.items()}
        taken: dict[tuple[str, int], list[float]] = {}
        for number in range(options.rounds + 1):
            for at in range(len(asked["k-1"])):
                for slug in slugs:
                    started = time.perf_counter()
                    read(browser, bases[slug] + asked[slug][at])
                    if number:
                        taken.setdefault((slug, at), []).append((time.perf_counter() - started) * 1000)
        for number in range(options.rounds + 1):
            for at, path in enumerate(ADMIN):
                started = time.perf_counter()
                read(browser, f"http://127.0.0.1:{stage.port}{path}")
                if number:
                    taken.setdefault(("operators", at), []).append((time.perf_counter() - started) * 1000)
        print(row("", f"{options.users:,}", "1,000", "ratio", widths=WIDTHS))
        for at, path in enumerate([*PAGES, "/users/<id>", "/groups/<id>"]):
            big, small = (middle(taken[slug, at]) for slug in slugs)
            print(row(path or "/", big, small, big / small, widths=WIDTHS))
        for at, path in enumerate(ADMIN):
            print(f"{path:<40} {middle(taken['operators', at]):.1f} ms over {options.tenants:,} tenants")
        print(f"the slowest: {max(middle(one) for one in taken.values()):.1f} ms")


if __name__ == "__main__":
    main()
