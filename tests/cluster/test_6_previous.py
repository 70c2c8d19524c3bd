"""The release before this one: its chart and image, its pods on a schema that this one has migrated, and the way forth and back under load."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from k8s.cluster.image import Store, build
from k8s.cluster.processes import run, wait_for
from k8s.cluster.tools import cache

from rollhouse.database.revisions import newest_revision
from tests.cluster.stage import NAMESPACE, ROOT, Stage
from tests.helm.charts import rendered, the

PREVIOUS = "0850ef13243d078b44ef5d783777b55519de1453"
"""The last commit at the revision before the newest, while there is no release."""
DATABASE = {"database": {"name": "previous"}}


@pytest.fixture(scope="module")
def previous(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Its chart; its release is installed in a database of its own."""
    tree = tmp_path_factory.mktemp("previous") / "tree"
    run("git", "-C", str(ROOT), "worktree", "add", "--detach", str(tree), PREVIOUS)
    store = Store(cache() / "containers")
    stage.cluster.load(store, build(store, "previous", PREVIOUS[:7], context=tree))
    if stage.is_installed():
        stage.cluster.helm("uninstall", "rollhouse", "-n", NAMESPACE, "--wait")
    stage.postgres.make_database("previous")
    stage.install("install", chart=tree / "helm" / "rollhouse", image={"tag": "previous"}, **DATABASE)
    yield tree / "helm" / "rollhouse"
    run("git", "-C", str(ROOT), "worktree", "remove", "--force", str(tree))


@pytest.fixture(scope="module")
def earlier(stage: Stage, previous: Path) -> tuple[str, str]:
    """A tenant that the release before made."""
    return "earlier", stage.new_tenant("earlier")


def revision(stage: Stage) -> str:
    return stage.postgres.sql("SELECT version_num FROM rollhouse.alembic_version", "previous")


def versions(stage: Stage) -> set[str]:
    """The image tags of the pods of web."""
    return {one["spec"]["containers"][0]["image"].rpartition(":")[2] for one in stage.pods() if stage.is_ready(one)}


def test_pods_of_the_release_before_serve_on_and_start_anew_after_the_migration(stage: Stage, previous: Path, earlier: tuple[str, str]) -> None:
    assert revision(stage) == "0004"
    job = the(rendered(stage.values(migration={"mode": "job"}, **DATABASE)), "Job")
    with stage.traffic(*earlier) as sent:
        stage.cluster.apply(job)
        wait_for("the migration", lambda: revision(stage) == newest_revision())
        victim = stage.ready_pods()[0]
        stage.cluster.kubectl("delete", "pod", "-n", NAMESPACE, victim, "--wait=true")
        stage.wait_ready(2)
    stage.cluster.kubectl("delete", "job", "-n", NAMESPACE, job["metadata"]["name"])
    stage.note("the release before on the newer schema", requests=sent.requests, failed=len(sent.failures), longest=sent.longest)
    assert versions(stage) == {"previous"}
    assert sent.failures == []


def test_the_way_from_it_to_this_one_fails_no_request(stage: Stage, previous: Path, earlier: tuple[str, str]) -> None:
    before = set(stage.ready_pods())
    with stage.traffic(*earlier) as sent:
        stage.install(**DATABASE)
        wait_for("the old pods' end", lambda: not before & {one["metadata"]["name"] for one in stage.pods()})
    stage.note("upgrade from the release before", requests=sent.requests, failed=len(sent.failures), longest=sent.longest)
    assert versions(stage) == {"test"}
    assert sent.failures == []


def test_the_way_back_fails_no_request(stage: Stage, previous: Path, earlier: tuple[str, str]) -> None:
    before = set(stage.ready_pods())
    with stage.traffic(*earlier) as sent:
        stage.cluster.helm("rollback", "rollhouse", "1", "-n", NAMESPACE, "--wait", "--timeout", "150s")
        wait_for("the new pods' end", lambda: not before & {one["metadata"]["name"] for one in stage.pods()})
    stage.note("rollback to the release before", requests=sent.requests, failed=len(sent.failures), longest=sent.longest)
    assert versions(stage) == {"previous"}
    assert revision(stage) == newest_revision(), "a schema only goes forward"
    assert sent.failures == []
