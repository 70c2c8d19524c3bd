"""Where the CPU of one operation goes in the service, by py-spy: how often a function was at work, alone and with what it called."""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.cpu import family
from benchmarks.peer_servers.operations import CONNECTIONS, FIND, GET, PATCH, POST
from benchmarks.peer_servers.subjects import Subject
from benchmarks.report import row
from benchmarks.stage import Stage

PY_SPY = Path(sys.executable).with_name("py-spy")
PER_SECOND = 500
SHOWN = 40
WIDTHS = (12, 12)
OPERATIONS = {"get": GET, "find": FIND, "post": POST, "patch": PATCH}
_LINE = re.compile(r":\d+\)")


def shares(stacks: str, within: str) -> list[tuple[str, float, float]]:
    """Each function with its share of the samples in which `within` was at work, with what it called and alone; the largest first."""
    with_all, alone, samples = Counter[str](), Counter[str](), 0
    for line in stacks.splitlines():
        stack, _, number = line.rpartition(" ")
        frames = [_LINE.sub(")", frame) for frame in stack.split(";")]
        if not any(frame.startswith(within) for frame in frames):
            continue
        inner = frames[next(at for at, frame in enumerate(frames) if frame.startswith(within)) :]
        samples += int(number)
        alone[inner[-1]] += int(number)
        for frame in set(inner):
            with_all[frame] += int(number)
    return [(name, count / samples, alone[name] / samples) for name, count in with_all.most_common()]


async def send(subject: Subject, operation: str, seconds: float) -> None:
    """The operation for so long, over as many connections as it is compared by."""
    await subject.open()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answers = await subject.measured(operation, subject.requests(operation, 400), CONNECTIONS[operation], seconds)
        await subject.undo(operation, answers)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("operation", choices=OPERATIONS)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--within", default="Edge.__call__", help="the function whose calls are looked into (default: a request)")
    parser.add_argument("--json", type=Path, help="write the shares to this file, as docs/figures/profile.json is")
    parser.add_argument("--data-dir", type=Path, default=Path(".rollhouse/bench").absolute())
    options = parser.parse_args()
    operation = OPERATIONS[options.operation]
    with Stage(options.data_dir) as stage:
        stage.run("seed", "--prefix", "profile", "--users", "1000")
        address = stage.port, "/t/profile-1/scim/v2", stage.secret("profile-1")
        subject = Subject("Rollhouse", "profile-1", 1000, address, lambda: family(stage.service.pid), sends_text=True)
        with tempfile.TemporaryDirectory() as folder:
            stacks = Path(folder) / "stacks.txt"
            worker = max(family(stage.service.pid))
            command = [PY_SPY, "record", "-r", str(PER_SECOND), "-d", str(options.seconds), "-f", "raw", "-o", stacks, "-p", str(worker)]
            spy = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            asyncio.run(send(subject, operation, options.seconds + 1))
            if spy.wait(30) != 0:
                raise SystemExit("py-spy could not look into the service; it may need to be root.")
            found = shares(stacks.read_text(), options.within)[:SHOWN]
    print(row(f"{operation}, within {options.within}", "with all %", "alone %", widths=WIDTHS))
    for name, with_all, alone in found:
        print(row(f"{name:<70}", with_all * 100, alone * 100, widths=WIDTHS))
    if options.json is not None:
        rows = [{"function": name, "with_all": with_all, "alone": alone} for name, with_all, alone in found]
        options.json.write_text(json.dumps({"operation": operation, "seconds": options.seconds, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
