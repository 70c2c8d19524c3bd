"""What each page of the portal costs for a tenant of 1,000,000 users beside one of 1,000: milliseconds to the whole answer (goal: under 300)."""

import argparse
import http.cookiejar
import re
import time
import urllib.parse
import urllib.request
from pathlib import Path

from benchmarks.report import middle, row
from benchmarks.stage import Stage

WIDTHS = (12, 12, 10)
PAGES = (
    "",
    "/users",
    "/users?q=user99",
    "/users?q=user123456",
    "/groups",
    "/groups?q=group",
    "/activity",
    "/activity?kind=failures",
    "/reports",
    "/reports/users-without-email",
    "/reports/empty-groups",
    "/integrations",
    "/settings",
    "/audit",
)


def opener(url: str) -> urllib.request.OpenerDirector:
    """A browser that the link signs in."""
    found = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    token = url.rsplit("/", 1)[1]
    found.open(urllib.request.Request(url.rsplit("/", 1)[0], urllib.parse.urlencode({"token": token}).encode())).read()
    return found


def first_of(browser: urllib.request.OpenerDirector, base: str, kind: str) -> str:
    page = browser.open(f"{base}/{kind}").read().decode()
    found = re.search(rf'href="(/portal/[^"]*/{kind}/[0-9a-f-]+)"', page)
    return found[1].split(kind)[1] if found else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--data-dir", type=Path, default=Path(".rollhouse/bench").absolute())
    options = parser.parse_args()
    with Stage(options.data_dir) as stage:
        stage.run("seed", "--prefix", "moved", "--users", str(options.users), "--groups", "10", "--members", str(options.users // 10))
        stage.run("seed", "--prefix", "k", "--users", "1000", "--groups", "1", "--members", "10")
        browser = opener(stage.run("operator", "link", "bench@rollhouse.example")["url"])
        slugs = ("moved-1", "k-1")
        bases = {slug: f"http://127.0.0.1:{stage.port}/portal/{slug}" for slug in slugs}
        asked = {slug: [*PAGES, *(f"/{kind}{first_of(browser, base, kind)}" for kind in ("users", "groups"))] for slug, base in bases.items()}
        taken: dict[tuple[str, int], list[float]] = {}
        for number in range(options.rounds + 1):
            for at in range(len(asked["k-1"])):
                for slug in slugs:
                    started = time.perf_counter()
                    browser.open(bases[slug] + asked[slug][at]).read()
                    if number:
                        taken.setdefault((slug, at), []).append((time.perf_counter() - started) * 1000)
        print(row("", f"{options.users:,}", "1,000", "ratio", widths=WIDTHS))
        for at, path in enumerate([*PAGES, "/users/<id>", "/groups/<id>"]):
            big, small = (middle(taken[slug, at]) for slug in slugs)
            print(row(path or "/", big, small, big / small, widths=WIDTHS))
        print(f"the slowest: {max(middle(one) for one in taken.values()):.1f} ms")


if __name__ == "__main__":
    main()
