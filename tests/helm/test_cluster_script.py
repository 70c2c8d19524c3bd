"""What starts the test cluster says plainly where it cannot, and is then no success."""

import os
import subprocess
import sys
from pathlib import Path

from k8s.cluster.cluster import FOLDER

from tests.helm.charts import ROOT

MISSING = 3


def test_without_go_it_ends_with_three_and_the_reason_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "git").symlink_to("/usr/bin/git")
    was_there = FOLDER.exists()
    done = subprocess.run(
        [sys.executable, "-m", "k8s.cluster", "up"], cwd=ROOT, env=os.environ | {"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )

    assert done.returncode == MISSING
    assert done.stderr.startswith("missing: Go is missing")
    assert "cure: install Go" in done.stderr
    assert FOLDER.exists() == was_there


def test_without_go_the_tests_on_a_cluster_are_not_counted(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/cluster/test_7_end.py", "-k", "uninstall"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)

    assert done.returncode == MISSING, done.stdout
    assert "not run: Go is missing" in done.stdout + done.stderr
    assert "passed" not in done.stdout
