"""CPU of the application per request of the two hottest reads, beside a raw ASGI echo of the same bytes on the same server (c=8, interleaved)."""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote_plus

from benchmarks.cpu import cpu_seconds, family
from benchmarks.report import middle, row
from benchmarks.stage import Stage, free_port, wait_for
from benchmarks.wire import Connection, prepare

WIDTHS = (14, 14, 14)
CONNECTIONS = 8


async def batch(connections: list[Connection], request: bytes, count: int) -> None:
    async def worker(connection: Connection) -> None:
        for _ in range(count // len(connections)):
            status, body, _ = await connection.send(request)
            assert status == 200, body

    await asyncio.gather(*(worker(connection) for connection in connections))


async def measure(stage: Stage, echo_port: int, echo_pid: int, requests: dict[str, bytes], rounds: int, count: int) -> None:
    ours = [await Connection("127.0.0.1", stage.port).open() for _ in range(CONNECTIONS)]
    echoes = [await Connection("127.0.0.1", echo_port).open() for _ in range(CONNECTIONS)]
    app, postgres, echo = family(stage.service.pid), family(stage.postgres_pid), family(echo_pid)
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in [*requests, "raw ASGI echo"]}
    for number in range(rounds + 1):
        for name, request in [*requests.items(), ("raw ASGI echo", next(iter(requests.values())))]:
            mine, connections = (echo, echoes) if name == "raw ASGI echo" else (app, ours)
            postgres = family(stage.postgres_pid)
            before = cpu_seconds(mine), cpu_seconds(postgres)
            await batch(connections, request, count)
            after = cpu_seconds(mine), cpu_seconds(postgres)
            if number:
                results[name].append(((after[0] - before[0]) / count * 1e6, (after[1] - before[1]) / count * 1e6))
    floor = middle([one[0] for one in results["raw ASGI echo"]])
    print(row("", "app us", "postgres us", "app : echo", widths=WIDTHS))
    for name, found in results.items():
        mine = middle([one[0] for one in found])
        print(row(name, mine, middle([one[1] for one in found]), mine / floor, widths=WIDTHS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--data-dir", type=Path, default=Path(".rollhouse/bench").absolute())
    options = parser.parse_args()
    with Stage(options.data_dir) as stage:
        stage.run("seed", "--prefix", "k", "--users", "1000", "--groups", "1", "--members", "10")
        secret = stage.secret("k-1")
        wanted = quote_plus('userName eq "user500@k-1.example"')
        find = prepare("GET", f"/t/k-1/scim/v2/Users?filter={wanted}", secret)

        async def first() -> str:
            connection = await Connection("127.0.0.1", stage.port).open()
            _, body, _ = await connection.send(find)
            return json.loads(body)["Resources"][0]

        user = asyncio.run(first())
        get = prepare("GET", f"/t/k-1/scim/v2/Users/{user['id']}", secret)
        port = free_port()
        environment = os.environ | {"ECHO_BODY": json.dumps(user)}
        command = [
            sys.executable,
            "-m",
            "granian",
            "benchmarks.echo_app:app",
            "--interface",
            "asgi",
            "--port",
            str(port),
            "--loop",
            "uvloop",
            "--no-ws",
            "--log-level",
            "error",
        ]
        with tempfile.TemporaryFile() as output:
            echo = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
            try:
                wait_for(f"http://127.0.0.1:{port}/")
                asyncio.run(measure(stage, port, echo.pid, {"GET by id": get, "userName eq": find}, options.rounds, options.requests))
            finally:
                echo.terminate()
                echo.wait(10)


if __name__ == "__main__":
    main()
