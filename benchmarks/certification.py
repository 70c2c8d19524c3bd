"""How many tenants at a constant 25 requests a second one `rollhouse serve` holds (p99 below 250 ms, no error, no 429), and how many cores each process uses.

Not part of `make bench`: five runs of a minute, with the load generator on the same cores; its share is shown, too. "app waits" is the
time in which the service could have run, but other processes had the cores: near zero on a machine that is big enough and left alone.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from loadtests.keys import KEY_VARIABLE, SCOPES

from benchmarks.cpu import cpu_seconds, family, waited_seconds
from benchmarks.report import row
from benchmarks.stage import Stage

WIDTHS = (9, 9, 9, 9, 8, 8, 10, 8, 11, 9, 9)


def busy_seconds() -> float:
    """Time that all cores of this machine have been busy, whoever used them."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


NAMES = ("per_second", "p50_ms", "p95_ms", "p99_ms", "wrong", "app", "postgres", "redis", "app_waits", "locust", "outcome")


def one_run(stage: Stage, tenants: int, minutes: float, options: argparse.Namespace) -> dict[str, object]:
    result = options.results / f"certification-{tenants}.json"
    parts = {"app": stage.service.pid, "postgres": stage.postgres_pid, "redis": stage.redis_pid}
    before = {name: cpu_seconds(family(pid)) for name, pid in parts.items()}
    waited = waited_seconds(family(parts["app"]))
    busy, began = busy_seconds(), time.monotonic()
    command = [sys.executable, "-m", "loadtests", "--profile", "certification", "--tenants", str(tenants), "--minutes", str(minutes)]
    command += ["--url", f"http://127.0.0.1:{stage.port}", "--workers", str(options.workers), "--plan", str(options.results / "plan.json")]
    command += ["--json", str(result), "--picture", str(result.with_suffix(".svg"))]
    done = subprocess.run(command, env=stage.environment | {KEY_VARIABLE: stage.operator_key}, capture_output=True, text=True, check=False)
    if not result.exists():
        raise SystemExit(done.stderr)
    seconds = minutes * 60
    used = [(cpu_seconds(family(pid)) - before[name]) / seconds for name, pid in parts.items()]
    used.append((waited_seconds(family(parts["app"])) - waited) / seconds)
    machine = (busy_seconds() - busy) / (time.monotonic() - began)
    found = json.loads(result.read_bytes())
    result.write_text(json.dumps(found | {"cores": dict(zip((*parts, "app_waiting"), used, strict=True)) | {"machine": machine}}, indent=1))
    role = found["roles"]["certified"]
    outcome = "passed" if done.returncode == 0 else "FAILED"
    shown = (
        role["per_second"],
        role["p50_ms"],
        role["p95_ms"],
        role["p99_ms"],
        role["errors"] + role["throttled"],
        *used,
        found["generator"]["cores"],
        outcome,
    )
    print(row(f"{tenants} tenants, {tenants * 25}/s", *shown, widths=WIDTHS), f"  all: {machine:.2f} of {os.cpu_count()}", flush=True)
    for condition in found["conditions"]:
        if not condition["met"]:
            print(f"    {condition['what']}: {condition['measured']} (wanted: {condition['wanted']})", flush=True)
    return {"tenants": tenants, **dict(zip(NAMES, shown, strict=True)), "machine": machine, "cores": os.cpu_count()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, nargs="+", default=[8, 16, 24, 32, 40])
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--workers", type=int, default=0, help="Locust's sending processes; 0: one does everything.")
    parser.add_argument("--data-dir", type=Path, default=Path(".rollhouse/certification").absolute())
    parser.add_argument("--json", type=Path, help="Write the table to this file, as docs/figures/certification.json is.")
    parser.add_argument("--results", type=Path, default=Path(".loadtests").absolute())
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    options.data_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    with Stage(options.data_dir, with_redis=True, ROLLHOUSE_RATE_PER_SECOND="50", ROLLHOUSE_BURST="200") as stage:
        stage.operator_key = stage.run("api-key", "create", *(word for scope in SCOPES for word in ("--scope", scope)), "--expires", "1d")["key"]
        print(row("", "per s", "p50 ms", "p95 ms", "p99 ms", "wrong", "app", "postgres", "redis", "app waits", "locust", "", widths=WIDTHS))
        rows = [one_run(stage, tenants, options.minutes, options) for tenants in options.tenants]
        ran_on = stage.ran_on()
    if options.json is not None:
        options.json.write_text(json.dumps({"minutes": options.minutes, "ran_on": ran_on, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
