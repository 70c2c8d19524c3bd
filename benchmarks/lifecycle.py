"""A tenant of a million users out to a file, into a fresh tenant, out again (byte for byte the same), and purged: seconds, lines a second, and memory."""

import argparse
import os
import re
import subprocess
import time
from pathlib import Path

from benchmarks.report import row
from benchmarks.stage import ROLLHOUSE, Stage

WIDTHS = (12, 12, 14)


def timed(stage: Stage, *arguments: str) -> tuple[float, float]:
    """Seconds and the most memory (MB) of a command."""
    started = time.perf_counter()
    process = subprocess.Popen([ROLLHOUSE, *arguments], env=stage.environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"rollhouse {' '.join(arguments)} ended with {process.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def lines_of(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        file.readline()
        return list(iter(file.readline, b""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--data-dir", type=Path, default=Path(".rollhouse/bench").absolute())
    options = parser.parse_args()
    with Stage(options.data_dir) as stage:
        stage.run("seed", "--prefix", "moved", "--users", str(options.users), "--groups", "10", "--members", str(options.users // 10))
        slug = f"moved-to-{os.getpid()}"
        stage.run("tenant", "create", slug, "--name", "Moved")
        first, second = (options.data_dir / f"{slug}-{number}.ndjson" for number in (1, 2))
        try:
            steps = [
                ("export", timed(stage, "tenant", "export", "moved-1", "--to", str(first))),
                ("import", timed(stage, "tenant", "import", slug, "--from", str(first))),
                ("export again", timed(stage, "tenant", "export", slug, "--to", str(second))),
            ]
            is_equal = lines_of(first) == lines_of(second)
            lines = len(lines_of(first))
            stage.run("tenant", "delete", slug, "--grace-days", "0", "--yes")
            purged = subprocess.run([ROLLHOUSE, "tenant", "purge", slug, "--yes"], env=stage.environment, stdout=subprocess.PIPE, check=True, text=True)
            rows = int(re.search(r"with (\d+) rows", purged.stdout)[1])
        finally:
            for path in (first, second):
                path.unlink(missing_ok=True)
                path.with_name(path.name + ".manifest.json").unlink(missing_ok=True)
        print(row("", "seconds", "lines/s", "memory MB", widths=WIDTHS))
        for name, (seconds, memory) in steps:
            print(row(name, seconds, lines / seconds, memory, widths=WIDTHS))
        print(f"{lines} lines; the second export is {'the same byte for byte behind its header' if is_equal else 'ANOTHER'}. {rows} rows purged.")


if __name__ == "__main__":
    main()
