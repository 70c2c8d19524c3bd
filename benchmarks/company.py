"""What it saves that requests of one tenant go together: CPU of each, beside the same service that sends each by itself, for so many at once."""

import argparse
import asyncio
import json
import random
import signal
import subprocess
import sys
import time
import urllib.request
from itertools import count
from pathlib import Path
from urllib.parse import quote_plus

from benchmarks.cpu import cpu_of_each, family, spent_seconds
from benchmarks.report import middle, row
from benchmarks.stage import Stage, free_port, wait_for
from benchmarks.wire import Connection, prepare

WIDTHS = (12, 12, 12, 12, 12)
ALONE = "from rollhouse.database.gathering import Gathering; Gathering.is_worth_a_turn = lambda *_, **__: False; from rollhouse.cli.main import main; main()"
"""The service, in which nothing goes together."""
ALL_ALONE = 0.95
"""Statements of a request, at least, where each is sent by itself."""
QUIET_SECONDS = 0.4
COLUMNS = ("app_us", "postgres_us", "statements", "p50_ms")
OPERATIONS = ("GET", "userName eq", "PATCH", "POST")
CALLED = ("_resource", "find_unique")
"""What the names of the operations' SQL functions hold."""
_new = count(time.time_ns())


class Client:
    """Sends one operation after the other about users of its own, whose names it is given by their ids."""

    def __init__(self, port: int, path: str, secret: str, names: dict[str, str]) -> None:
        self._connection = Connection("127.0.0.1", port)
        self._path, self._secret, self._names, self._ids = path, secret, names, list(names)
        self._active = dict.fromkeys(names, True)

    async def open(self) -> "Client":
        await self._connection.open()
        return self

    def _request(self, operation: str) -> bytes:
        one = random.choice(self._ids)
        if operation == "GET":
            return prepare("GET", f"{self._path}/{one}", self._secret)
        if operation == "userName eq":
            wanted = quote_plus(f'userName eq "{self._names[one]}"')
            return prepare("GET", f"{self._path}?filter={wanted}", self._secret)
        if operation == "POST":
            number = next(_new)
            body = {"userName": f"new{number}@bench.example", "externalId": str(number), "displayName": "New", "active": True}
            return prepare("POST", self._path, self._secret, json.dumps(body).encode())
        self._active[one] = not self._active[one]
        body = {"Operations": [{"op": "Replace", "path": "active", "value": str(self._active[one])}]}
        return prepare("PATCH", f"{self._path}/{one}", self._secret, json.dumps(body).encode())

    async def send(self, operation: str, number: int) -> list[float]:
        """Milliseconds of each of so many."""
        taken = []
        for _ in range(number):
            status, body, seconds = await self._connection.send(self._request(operation))
            assert status in (200, 201), body
            taken.append(seconds * 1000)
        return taken


def statements(metrics_port: int) -> float:
    """How many the service has sent to Postgres so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(
        float(line.split()[1]) for line in lines if line.startswith("db_client_operation_duration_seconds_count") and any(name in line for name in CALLED)
    )


async def measure(stage: Stage, services: dict[str, tuple[int, int, int]], options: argparse.Namespace) -> list[dict[str, object]]:
    """A row for each operation and number at once: the medians of each service, and of the ratios of their CPU."""
    measured: list[dict[str, object]] = []
    path, secret = "/t/company-1/scim/v2/Users", stage.secret("company-1")
    first = await Connection("127.0.0.1", stage.port).open()
    _, body, _ = await first.send(prepare("GET", f"{path}?count=100&attributes=userName", secret))
    names = [(user["id"], user["userName"]) for user in json.loads(body)["Resources"]]
    print(row("", "app us", "postgres us", "statements", "p50 ms", "CPU : alone", widths=WIDTHS))
    for operation in OPERATIONS:
        for at_once in options.at_once:
            clients = {}
            for number, (name, (port, _, _)) in enumerate(services.items()):
                own = names[number::2]
                clients[name] = [await Client(port, path, secret, dict(own[one::at_once])).open() for one in range(at_once)]
            found: dict[str, list[tuple[float, ...]]] = {name: [] for name in services}
            for number in range(options.rounds + 1):
                for name in sorted(services, reverse=bool(number % 2)):
                    _, metrics_port, pid = services[name]
                    number_each = options.requests // at_once
                    before, sent = (cpu_of_each(family(pid)), cpu_of_each(family(stage.postgres_pid))), statements(metrics_port)
                    taken = await asyncio.gather(*(client.send(operation, number_each) for client in clients[name]))
                    await asyncio.sleep(QUIET_SECONDS)  # the request log is written five times a second
                    after = cpu_of_each(family(pid)), cpu_of_each(family(stage.postgres_pid))
                    share = 1 / (number_each * at_once)
                    cpu = [spent_seconds(one, two) * 1e6 * share for one, two in zip(before, after, strict=True)]
                    found[name].append((*cpu, (statements(metrics_port) - sent) * share, middle([one for some in taken for one in some])))
            if middle([one[2] for one in found["alone"]]) < ALL_ALONE:
                raise SystemExit("The service that is to send each statement by itself did not: its process was not made by fork. No ratio is printed.")
            ratio = middle([sum(one[:2]) / sum(two[:2]) for one, two in zip(found["together"][1:], found["alone"][1:], strict=True)])
            medians = {name: [middle([one[column] for one in results[1:]]) for column in range(len(COLUMNS))] for name, results in found.items()}
            measured.append(
                {"operation": operation, "at_once": at_once, "ratio": ratio} | {name: dict(zip(COLUMNS, each, strict=True)) for name, each in medians.items()}
            )
            for name, (app, postgres, sent, p50) in medians.items():
                shown = (f"{app:,.0f}", f"{postgres:,.0f}", sent, p50, ratio if name == "together" else "")
                print(row(f"{operation}, {at_once} at once, {name}", *shown, widths=WIDTHS), flush=True)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=1600, help="of each round")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 4, 5, 8, 16])
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--data-dir", type=Path, default=Path(".rollhouse/bench").absolute())
    options = parser.parse_args()
    with Stage(options.data_dir) as stage:
        stage.run("seed", "--prefix", "company", "--users", "1000")
        port, metrics_port = free_port(), free_port()
        command = [sys.executable, "-c", ALONE, "serve", "--port", str(port), "--metrics-port", str(metrics_port)]
        alone = subprocess.Popen(command, env=stage.environment)
        try:
            wait_for(f"http://127.0.0.1:{port}/readyz")
            services = {"alone": (port, metrics_port, alone.pid), "together": (stage.port, stage.metrics_port, stage.service.pid)}
            measured = asyncio.run(measure(stage, services, options))
        finally:
            alone.send_signal(signal.SIGTERM)
            alone.wait(20)
    if options.json is not None:
        options.json.write_text(json.dumps({"rounds": options.rounds, "rows": measured}, indent=1) + "\n")


if __name__ == "__main__":
    main()
