"""The simulator's bigGroup: many thousand members, written by six workers without a cap, then compared with the directory."""

import argparse
import os
import subprocess
from pathlib import Path

from benchmarks.stage import ROLLHOUSE, Stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=50_000)
    parser.add_argument("--data-dir", type=Path, default=Path(".rollhouse/bench").absolute())
    options = parser.parse_args()
    with Stage(options.data_dir) as stage:
        slug = f"group-{os.getpid()}"
        url = stage.run("tenant", "create", slug, "--name", "Big group")["scim_url"]
        command = [ROLLHOUSE, "simulate", "entra", "--url", url, "--scenario", "bigGroup", "--members", str(options.members), "--rate", "0"]
        raise SystemExit(subprocess.run(command, env=stage.environment | {"ROLLHOUSE_SCIM_SECRET": stage.secret(slug)}, check=False).returncode)


if __name__ == "__main__":
    main()
