"""What authentication, rate limit and observability cost a request, and what the request log costs: the same handler in one process, without and with them."""

import argparse
import asyncio
import gc
import json
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop
from litestar import Litestar, Router, get
from litestar.params import FromPath

from benchmarks.report import middle, row
from benchmarks.stage import Stage
from rollhouse.http.answers import Answer, refuse
from rollhouse.http.app import SCIM_PATH
from rollhouse.http.edge import Edge
from rollhouse.http.gates import Gates
from rollhouse.http.service import Service
from rollhouse.scim.errors import ScimError
from rollhouse.settings import Settings

WIDTHS = (12, 12)
GOALS = {"auth, limit, observability": 40, "request log": 25}
BODY = b'{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ann@acme.example"}'


@get("/Users/{resource_id:str}")
async def handler(resource_id: FromPath[str]) -> Answer:
    return Answer(200, [(b"content-type", b"application/scim+json"), (b"content-length", b"%d" % len(BODY))], BODY)


def bare() -> Any:
    return Litestar([Router(SCIM_PATH, route_handlers=[handler])], openapi_config=None, logging_config=None)


def gated(service: Service) -> Edge:
    refusals: Any = {ScimError: refuse}
    router = Router(SCIM_PATH, middleware=[Gates()], route_handlers=[handler])
    return Edge(Litestar([router], exception_handlers=refusals, openapi_config=None, logging_config=None), service)


def request(app: Any, slug: str, secret: str) -> Callable[[], Awaitable[int]]:
    headers = [(b"host", b"scim.example"), (b"authorization", f"Bearer {secret}".encode()), (b"user-agent", b"a benchmark"), (b"accept", b"*/*")]
    path = f"/t/{slug}/scim/v2/Users/01a21902-c8c0-7300-8313-8b0000000000"

    async def ask() -> int:
        found = 0

        async def send(message: Any) -> None:
            nonlocal found
            found = message.get("status", found)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http", "path": path, "raw_path": path.encode(),
            "query_string": b"", "root_path": "", "headers": list(headers), "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {},
        }  # fmt: skip
        await app(scope, receive, send)
        return found

    return ask


async def spent(ask: Callable[[], Awaitable[int]], count: int, after: Callable[[], Awaitable[None]]) -> float:
    """Microseconds of this process's CPU for one request, what is done behind it included."""
    assert await ask() == 200
    await after()
    gc.collect()
    began = time.process_time()
    for number in range(count):
        await ask()
        if number % 200 == 199:
            await after()
    return (time.process_time() - began) / count * 1e6


async def measure(stage: Stage, redis: str, rounds: int, count: int) -> dict[str, list[float]]:
    settings = Settings(
        database_url=stage.environment["ROLLHOUSE_DATABASE_URL"],
        peppers=stage.environment["ROLLHOUSE_PEPPERS"],
        public_url="https://scim.example",
        redis_url=redis,
        rate_per_second=1_000_000,
        burst=1_000_000,
    )
    service = Service(settings)
    service.problems = []
    await service.database.open()
    note, kept = service.request_log.note, []

    async def nothing() -> None:
        kept.clear()

    secret = stage.secret("k-1")
    found: dict[str, list[float]] = {"handler": [], "gates": [], "log": []}
    try:
        for number in range(rounds + 1):
            parts = {}
            parts["handler"] = await spent(request(bare(), "k-1", secret), count, nothing)
            service.request_log.note = kept.append  # type: ignore[method-assign]
            parts["gates"] = await spent(request(gated(service), "k-1", secret), count, nothing)
            service.request_log.note = note  # type: ignore[method-assign]
            parts["log"] = await spent(request(gated(service), "k-1", secret), count, service.request_log.flush)
            for name, value in parts.items():
                if number:
                    found[name].append(value)
    finally:
        await service.database.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--json", type=Path, help="Write the figures to this file, as docs/figures/layers.json is.")
    parser.add_argument("--data-dir", type=Path, default=Path(".rollhouse/bench").absolute())
    options = parser.parse_args()
    with Stage(options.data_dir, with_redis=True) as stage, Path(os.devnull).open("wb") as lost:
        stage.run("seed", "--prefix", "k", "--users", "1000", "--groups", "1", "--members", "10")
        stderr = os.dup(2)
        os.dup2(lost.fileno(), 2)  # the lines of the requests
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                found = runner.run(measure(stage, stage.redis.url, options.rounds, options.requests))
        finally:
            os.dup2(stderr, 2)
    print(row("", "us of CPU", "goal", widths=WIDTHS))
    print(row("the handler alone", middle(found["handler"]), "", widths=WIDTHS))
    gates = [with_them - alone for with_them, alone in zip(found["gates"], found["handler"], strict=True)]
    log = [with_it - without for with_it, without in zip(found["log"], found["gates"], strict=True)]
    for (name, goal), values in zip(GOALS.items(), (gates, log), strict=True):
        print(row(name, middle(values), f"{goal}", widths=WIDTHS))
    if options.json is not None:
        options.json.write_text(json.dumps({"gates": middle(gates), "log": middle(log)}) + "\n")


if __name__ == "__main__":
    main()
