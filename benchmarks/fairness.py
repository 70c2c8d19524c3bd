"""What 20 neighbours at 5 requests a second notice of a tenant that sends ten times its limit: their p99, quiet and flooded in turn (goal: at most 1.5 times)."""

import argparse
import asyncio
from pathlib import Path

from benchmarks.report import middle, row
from benchmarks.stage import Stage
from benchmarks.wire import Connection, prepare

WIDTHS = (14, 14, 14)
NEIGHBOURS = 20
NEIGHBOUR_RATE = 5
RATE = 50
FLOOD_CONNECTIONS = 10


async def steadily(port: int, request: bytes, per_second: float, seconds: float, offset: float) -> tuple[list[float], list[int]]:
    """Seconds and status of each request of one connection that sends at a steady rate."""
    connection = await Connection("127.0.0.1", port).open()
    clock = asyncio.get_running_loop()
    began = clock.time() + offset
    taken, statuses = [], []
    for number in range(int(per_second * seconds)):
        await asyncio.sleep(max(0.0, began + number / per_second - clock.time()))
        status, _, duration = await connection.send(request)
        taken.append(duration)
        statuses.append(status)
    connection.close()
    return taken, statuses


async def one_round(port: int, flood: bytes | None, calm: list[bytes], seconds: float) -> tuple[float, int, int]:
    """The neighbours' p99 in milliseconds, their errors, and the flooder's requests that were refused."""
    neighbours = [steadily(port, request, NEIGHBOUR_RATE, seconds, number / 100) for number, request in enumerate(calm)]
    rate = 10 * RATE / FLOOD_CONNECTIONS
    flooding = [steadily(port, flood, rate, seconds, number / 500) for number in range(FLOOD_CONNECTIONS)] if flood else []
    results = await asyncio.gather(*neighbours, *flooding)
    taken = sorted(one for durations, _ in results[: len(calm)] for one in durations)
    errors = sum(status != 200 for _, statuses in results[: len(calm)] for status in statuses)
    refused = sum(status == 429 for _, statuses in results[len(calm) :] for status in statuses)
    return taken[int(len(taken) * 0.99)] * 1000, errors, refused


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--data-dir", type=Path, default=Path(".rollhouse/bench").absolute())
    options = parser.parse_args()
    with Stage(options.data_dir) as stage:
        stage.run("seed", "--prefix", "fair", "--tenants", str(NEIGHBOURS + 1), "--users", "100", "--groups", "1", "--members", "10")
        slugs = [f"fair-{number}" for number in range(1, NEIGHBOURS + 2)]
        for slug in slugs:
            stage.run("tenant", "set-limit", slug, "--rate", str(RATE), "--burst", str(RATE))
        requests = [prepare("GET", f"/t/{slug}/scim/v2/Users?count=10", stage.secret(slug)) for slug in slugs]
        flood, calm = requests[0], requests[1:]
        quiet: list[float] = []
        flooded: list[float] = []
        errors = refused = 0
        for number in range(options.rounds + 1):
            for found, flooder in ((quiet, None), (flooded, flood)):
                p99, wrong, over = asyncio.run(one_round(stage.port, flooder, calm, options.seconds))
                errors, refused = errors + wrong, refused + over
                if number:
                    found.append(p99)
        print(row("", "quiet p99 ms", "flood p99 ms", "flood : quiet", widths=WIDTHS))
        print(row("20 neighbours at 5/s", middle(quiet), middle(flooded), middle([b / a for a, b in zip(quiet, flooded, strict=True)]), widths=WIDTHS))
        print(f"Neighbours' errors: {errors}. Requests of the flooder that were refused with 429: {refused}.")


if __name__ == "__main__":
    main()
