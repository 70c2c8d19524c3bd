"""The cluster and the stage on it, made once for the whole run; without Go the run ends with 3 and is no success."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from k8s.cluster.cluster import Cluster
from k8s.cluster.image import Store, build
from k8s.cluster.processes import run
from k8s.cluster.tools import Missing, cache

from tests.cluster.stage import ROOT, Stage

MISSING = 3


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    try:
        made.up()
        yield made
    except Missing as error:
        pytest.exit(f"not run: {error}", returncode=MISSING)
    finally:
        if made.is_begun:
            made.down()


@pytest.fixture(scope="session")
def stage(cluster: Cluster) -> Iterator[Stage]:
    folder = cluster.folder / "outside"
    folder.mkdir()
    for path in (folder, cluster.folder):
        path.chmod(0o755)
    store = Store(cache() / "containers")
    cluster.load(store, build(store, "test", run("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD").strip()))
    made = Stage(cluster, Path(folder))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def sender(stage: Stage) -> tuple[str, str]:
    """A tenant with a secret; the release is installed by whoever comes first."""
    if not stage.is_installed():
        stage.install("install")
    return "acme", stage.new_tenant("acme")
