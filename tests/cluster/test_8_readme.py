"""What README says of Kubernetes, followed word by word in an empty namespace."""

import os
import re
import subprocess
from pathlib import Path

from k8s.cluster.image import Store
from k8s.cluster.processes import wait_for
from k8s.cluster.tools import cache

from tests.cluster.stage import INSIDE, NAMESPACE, ROOT, Stage
from tests.servers.outside import PASSWORDS
from tests.servers.service import ROLLHOUSE


def test_the_commands_of_the_readme_bring_the_service_up(stage: Stage) -> None:
    cluster = stage.cluster
    if stage.is_installed():
        cluster.helm("uninstall", "rollhouse", "-n", NAMESPACE, "--wait")
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=true")
    store = Store(cache() / "containers")
    store.buildah("tag", "localhost/rollhouse:test", "localhost/rollhouse:0.1.0")
    cluster.load(store, "localhost/rollhouse:0.1.0")
    (script,) = re.findall(r"^## On Kubernetes$.*?^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    environment = os.environ | {
        "PATH": f"{cluster.programs}:{Path(ROLLHOUSE).parent}:{os.environ['PATH']}",
        "KUBECONFIG": str(cluster.kubeconfig),
        "APP_PASSWORD": PASSWORDS["rollhouse_app"],
        "MIGRATOR_PASSWORD": PASSWORDS["rollhouse_migrator"],
        "REDIS_PASSWORD": PASSWORDS["redis"],
        "IMAGE": "localhost/rollhouse",
        "POSTGRES_HOST": stage.postgres.address,
        "REDIS_HOST": stage.redis.address,
    }

    command = [*INSIDE, "bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "https://scim.example.com/" in done.stdout.splitlines()[-1], "a link to sign in"
    wait_for("ready pods", lambda: len(stage.ready_pods()) == 2)
    secret = stage.new_tenant("reader")
    with stage.traffic("reader", secret, kept=1, new=1, pause=0.05) as sent:
        pass
    assert sent.failures == []
