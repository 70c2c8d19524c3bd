"""Locust's processes: one that sends by itself, or one that leads and some that send; here and on other machines."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from loadtests.plan import PLAN_VARIABLE, result_path

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
ROOT = LOCUSTFILE.parents[1]
PORT = 5557
"""On which a leading process waits for the others, when some are on other machines."""
KEY_VARIABLE = "ROLLHOUSE_OPERATOR_KEY"
STOP_SECONDS = 20
LOCAL_WAIT_SECONDS, REMOTE_WAIT_SECONDS = 60, 900
"""How long the leading process waits for those that send; people need time to start them on other machines."""


def lead(plan: Path, *, workers: int, remote_workers: int) -> bool:
    """Run the plan to its end; whether a result was left. Ends every process that it has started."""
    for left in (result_path(plan), log_path(plan)):
        left.unlink(missing_ok=True)
    sending = workers + remote_workers
    if sending == 0:
        started = [_start(plan, ["--headless", "--stop-timeout", "10"])]
    else:
        host, port = ("0.0.0.0", PORT) if remote_workers else ("127.0.0.1", _free_port())  # noqa: S104 - other machines are asked for
        leader = ["--headless", "--stop-timeout", "10", "--master", "--master-bind-host", host, "--master-bind-port", str(port)]
        patience = REMOTE_WAIT_SECONDS if remote_workers else LOCAL_WAIT_SECONDS
        started = [_start(plan, [*leader, "--expect-workers", str(sending), "--expect-workers-max-wait", str(patience)])]
        started += [_start(plan, ["--worker", "--master-host", "127.0.0.1", "--master-port", str(port)]) for _ in range(workers)]
    try:
        started[0].wait()
    finally:
        _end(started)
    return result_path(plan).exists()


def join(plan: Path, host: str) -> int:
    """Send for a process that leads on another machine, until it says that the run is over; locust's exit status."""
    return _start(plan, ["--worker", "--master-host", host, "--master-port", str(PORT)]).wait()


def log_path(plan: Path) -> Path:
    """What locust's processes say, of this run only."""
    return plan.with_suffix(".log")


def _start(plan: Path, options: Sequence[str]) -> "subprocess.Popen[bytes]":
    """One locust; the operator's key is none of its business."""
    environment = {name: value for name, value in os.environ.items() if name != KEY_VARIABLE and not name.startswith("LOCUST_")}
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--only-summary", "--loglevel", "WARNING", "--exit-code-on-error", "0", *options]
    with log_path(plan).open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, env=environment | {PLAN_VARIABLE: str(plan.absolute())}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _end(started: "Sequence[subprocess.Popen[bytes]]") -> None:
    """The others end when the leading one has; whoever does not is ended."""
    if started[0].poll() is None:
        started[0].terminate()
    for process in started:
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
