"""The end: an uninstall leaves nothing of the chart, and what was measured is written down."""

import json
import sys
from datetime import UTC, datetime

from k8s.cluster.processes import run, wait_for
from k8s.cluster.tools import version

from tests.cluster.stage import NAMESPACE, ROOT, Stage
from tests.helm.charts import rendered, the

KINDS = "deploy,job,svc,sa,pdb,hpa,networkpolicy,ingress,cm,pod,replicaset"
KEPT = {"serviceaccount/default", "configmap/kube-root-ca.crt"}
"""What every namespace has by itself."""


def test_an_uninstall_leaves_nothing(stage: Stage, sender: tuple[str, str]) -> None:
    stage.cluster.helm("uninstall", "rollhouse", "-n", NAMESPACE, "--wait", "--timeout", "120s")
    left = lambda: set(stage.cluster.kubectl("get", KINDS, "-n", NAMESPACE, "-o", "name").split()) - KEPT  # noqa: E731
    wait_for("an empty namespace", lambda: not left(), 60)


def test_the_migration_needs_its_secret_and_nothing_else_of_the_chart(stage: Stage) -> None:
    """As Argo CD has it: the Job of the first wave alone, before any other object is there."""
    job = the(rendered(stage.values(migration={"mode": "argocd"})), "Job")
    stage.cluster.apply(job)
    wait_for("the migration", lambda: stage.cluster.get("job", job["metadata"]["name"], "-n", NAMESPACE)["status"].get("succeeded") == 1, 60)
    stage.cluster.kubectl("delete", "job", "-n", NAMESPACE, job["metadata"]["name"])


def test_the_data_outlives_it(stage: Stage) -> None:
    assert int(stage.postgres.sql("SELECT count(*) FROM rollhouse.tenants")) >= 1


def test_the_figures_are_written_down(stage: Stage) -> None:
    commit = run("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD").strip()
    done = {"commit": commit, "day": datetime.now(UTC).date().isoformat(), "kubernetes": version(), "cluster": stage.cluster.seconds, "figures": stage.figures}
    (ROOT / "docs" / "figures" / "kubernetes.json").write_text(json.dumps(done, indent=1) + "\n")
    made = str(ROOT / "docs" / "kubernetes.py")
    (ROOT / "docs" / "kubernetes.md").write_text(run(sys.executable, made))
    (ROOT / "docs" / "pictures" / "scaling.svg").write_text(run(sys.executable, made, "--picture"))
    print(json.dumps(done, indent=1))
