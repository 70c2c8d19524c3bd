"""Clients of the service as a process of its own, inside the cluster's network: `python -m tests.cluster.traffic`; its findings are JSON on stdout."""

import argparse
import asyncio
import itertools
import json
import signal
import sys
import time
from typing import Any

import aiohttp

SCIM = {"content-type": "application/scim+json"}
TIMEOUT = aiohttp.ClientTimeout(total=30)


class Findings:
    """What was sent and what came of it."""

    def __init__(self) -> None:
        self.requests = {"kept": 0, "new": 0}
        self.failures: list[str] = []
        self.longest = 0.0
        self.began = time.time()

    def note(self, kind: str, told: str, seconds: float) -> None:
        self.requests[kind] += 1
        self.longest = max(self.longest, seconds)
        if told:
            self.failures.append(f"{time.time() - self.began:7.2f} s {kind} {told}")


async def client(url: str, secret: str, kind: str, number: int, given: argparse.Namespace, findings: Findings, ending: asyncio.Event) -> None:
    """One client: makes a user, reads, changes and finds it; a connection for all, or one for each request."""
    connector = aiohttp.TCPConnector(force_close=True) if kind == "new" else aiohttp.TCPConnector(limit=1, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT, headers={"authorization": f"Bearer {secret}"} | SCIM) as session:
        user = ""
        name = f"{kind}{number}-{time.time_ns()}"
        for turn in itertools.count():
            if ending.is_set():
                return
            match turn % 5 if user else -1:
                case -1:
                    method, path, body = "POST", "/Users", {"userName": name, "active": True}
                case 0:
                    method, path, body = "PATCH", f"/Users/{user}", {"Operations": [{"op": "replace", "path": "title", "value": str(turn)}]}
                case 1:
                    method, path, body = "GET", f'/Users?filter=userName eq "{name}"', None
                case _:
                    method, path, body = "GET", f"/Users/{user}", None
            began = time.monotonic()
            told = ""
            try:
                async with session.request(method, url + path, json=body) as answer:
                    text = await answer.text()
                    if answer.status not in (200, 201, 204, *((429,) if given.refused else ())):
                        told = f"{method} {path[:40]} {answer.status} {text[:200]}"
                    elif answer.status == 201:
                        user = json.loads(text)["id"]
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                told = f"{method} {type(error).__name__}: {error}"
            findings.note(kind, told, time.monotonic() - began)
            await asyncio.sleep(given.pause)


async def main() -> int:
    """Send until told to end, or for so many seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--kept", type=int, default=4)
    parser.add_argument("--new", type=int, default=4)
    parser.add_argument("--pause", type=float, default=0.01)
    parser.add_argument("--refused", action="store_true", help="the tenant is over its limit: 429 is no failure")
    given = parser.parse_args()
    findings, ending = Findings(), asyncio.Event()
    for end in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(end, ending.set)
    asyncio.get_running_loop().call_later(given.seconds, ending.set)
    kinds = [("kept", n) for n in range(given.kept)] + [("new", n) for n in range(given.new)]
    await asyncio.gather(*(client(given.url, given.secret, kind, n, given, findings, ending) for kind, n in kinds))
    told: dict[str, Any] = {"requests": findings.requests, "failures": findings.failures, "longest": findings.longest, "seconds": time.time() - findings.began}
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
