"""The cluster: its networks, its control plane, its nodes, DNS and metrics, made in order and taken down whole, also after a crash."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from k8s.cluster.image import Store, export
from k8s.cluster.node import PAUSE, Node, Runner
from k8s.cluster.pki import Authority
from k8s.cluster.processes import Processes, run, wait_for
from k8s.cluster.tools import cache, programs

FOLDER = Path("/var/tmp/rollhouse-cluster")  # noqa: S108 - root's own; long paths and small file systems are no place for images
CLUSTER, SERVICES, API_SERVICE = "10.88.64.0/20", "10.88.72.0/24", "10.88.72.1"
FIRST = Node("rollhouse-a", "zone-a", "10.88.66.1", "10.88.64.0/24")
SECOND = Node("rollhouse-b", "zone-b", "10.88.66.2", "10.88.67.0/24")
API = f"https://{FIRST.address}:6443"
METRICS_PORT = 4443


class Cluster:
    """Two nodes in two zones; the first has the control plane beside it."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Nothing is made yet."""
        self.folder = folder
        self.processes = Processes(folder / "logs")
        self.kubeconfig = folder / "pki" / "admin.kubeconfig"
        self.seconds: dict[str, float] = {}
        self.is_begun = False
        """Whether anything on this machine was changed."""
        self._programs: Path | None = None

    @property
    def programs(self) -> Path:
        """The folder of kubectl, helm and the others."""
        if self._programs is None:
            self._programs = programs()
        return self._programs

    def up(self) -> None:
        """Take down what is left of another, and make it.

        Raises:
            Missing: a program cannot be built here.
            TimeoutError: a part does not come up.
        """
        self.programs  # noqa: B018 - built before anything is changed
        self.is_begun = True
        self.down()
        self.folder.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        self._networks()
        authority = Authority(self.folder / "pki")
        self._control_plane(authority)
        self.seconds["API server ready"] = time.monotonic() - began
        pause = self._pause()
        for runner in self._runners():
            runner.start(authority, API, cluster=CLUSTER, dns=FIRST.address)
        for runner in self._runners():
            runner.load(pause)
        self._dns(authority)
        self._metrics(authority)
        wait_for("two nodes", lambda: len(self.ready_nodes()) == len(self._runners()))
        for runner in self._runners():
            runner.start_policies(authority, API, SERVICES)
        self.seconds["two nodes ready"] = time.monotonic() - began

    def down(self) -> None:
        """End and remove everything, of this run or of one that crashed. It can be done again."""
        for runner in self._runners():
            runner.stop()
        for name in self.processes.names():
            self.processes.stop(name)
        for line in sorted(Path("/proc/mounts").read_text().splitlines(), reverse=True):
            place = line.split()[1]
            if place.startswith((str(self.folder), *(f"/run/{node.name}" for node in (FIRST, SECOND)))):
                run("umount", "--lazy", place, check=False)
        for node in (SECOND, FIRST):
            run("ip", "netns", "del", node.name, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def load(self, store: Store, name: str) -> None:
        """Give an image to both nodes."""
        archive = self.folder / "image.tar"
        export(store, name, archive)
        for runner in self._runners():
            runner.load(archive)
        archive.unlink()

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """What kubectl prints.

        Raises:
            RuntimeError: it failed.
        """
        return run(
            "nsenter", f"--net=/run/netns/{FIRST.name}", str(self.programs / "kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments, stdin=stdin, check=check
        )

    def get(self, *arguments: str) -> Any:
        """What kubectl get returns, as data."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects."""
        self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def helm(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """A run of helm.

        Raises:
            RuntimeError: it failed and `check` is on.
        """
        command = ["nsenter", f"--net=/run/netns/{FIRST.name}", str(self.programs / "helm"), f"--kubeconfig={self.kubeconfig}", *arguments]
        environment = os.environ | {
            "HELM_CACHE_HOME": str(self.folder / "helm"),
            "HELM_CONFIG_HOME": str(self.folder / "helm"),
            "HELM_DATA_HOME": str(self.folder / "helm"),
        }
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if check and done.returncode != 0:
            raise RuntimeError(f"helm {' '.join(arguments)[:200]} failed:\n{(done.stdout + done.stderr)[-4000:]}")
        return done

    def second(self) -> Runner:
        """The node that tests may take away."""
        return self._runners()[1]

    def cut(self, node: Node) -> None:
        """Take the second node's wire away."""
        self._in(node, "ip", "link", "set", "node0", "down")

    def join(self, runner: Runner) -> None:
        """Give a node its wire and its kubelet back."""
        self._in(runner.node, "ip", "link", "set", "node0", "up")
        self._in(runner.node, "ip", "route", "replace", FIRST.pods, "via", FIRST.address)
        self._in(runner.node, "ip", "route", "replace", "default", "via", FIRST.address)
        runner.start_kubelet()

    def _runners(self) -> list[Runner]:
        place = self._programs or cache()
        return [Runner(node, self.folder / "nodes", self.processes, place) for node in (FIRST, SECOND)]

    def ready_nodes(self) -> list[str]:
        """The names of the nodes that are ready."""
        found = self.get("nodes")["items"]
        return [one["metadata"]["name"] for one in found if any(c["type"] == "Ready" and c["status"] == "True" for c in one["status"]["conditions"])]

    def _networks(self) -> None:
        """A namespace for each node, a wire between them, and the way to the other's pods."""
        for node in (FIRST, SECOND):
            run("ip", "netns", "add", node.name)
            self._in(node, "ip", "link", "set", "lo", "up")
            self._in(node, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        self._in(FIRST, "ip", "link", "add", "node0", "type", "bridge")
        self._in(FIRST, "ip", "addr", "add", f"{FIRST.address}/24", "dev", "node0")
        self._in(FIRST, "ip", "link", "add", "wire", "type", "veth", "peer", "name", "node0", "netns", SECOND.name)
        self._in(FIRST, "ip", "link", "set", "wire", "master", "node0")
        self._in(SECOND, "ip", "addr", "add", f"{SECOND.address}/24", "dev", "node0")
        for node, other in ((FIRST, SECOND), (SECOND, FIRST)):
            self._in(node, "ip", "link", "set", "node0", "up")
            if node is FIRST:
                self._in(node, "ip", "link", "set", "wire", "up")
            self._in(node, "ip", "route", "add", other.pods, "via", other.address)
        self._in(FIRST, "ip", "route", "add", "default", "dev", "node0")
        self._in(SECOND, "ip", "route", "add", "default", "via", FIRST.address)

    @staticmethod
    def _in(node: Node, *command: str) -> str:
        return run("nsenter", f"--net=/run/netns/{node.name}", *command)

    def _control_plane(self, authority: Authority) -> None:
        start = lambda name, *command: self.processes.start(name, [str(part) for part in command], namespace=FIRST.name)  # noqa: E731
        start(
            "etcd",
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )
        names = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "127.0.0.1", API_SERVICE, FIRST.address)
        certificate, key = authority.issue("apiserver", "kube-apiserver", addresses=names)
        kubelet_certificate, kubelet_key = authority.issue("apiserver-kubelet", "kube-apiserver-kubelet", "system:masters")
        front_certificate, front_key = authority.issue("front-proxy", "front-proxy-client")
        public, private = authority.account_keys()
        start(
            "apiserver",
            self.programs / "kube-apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            "--secure-port=6443",
            "--bind-address=0.0.0.0",
            f"--advertise-address={FIRST.address}",
            f"--service-cluster-ip-range={SERVICES}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--client-ca-file={authority.certificate}",
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={key}",
            f"--kubelet-certificate-authority={authority.certificate}",
            f"--kubelet-client-certificate={kubelet_certificate}",
            f"--kubelet-client-key={kubelet_key}",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={public}",
            f"--service-account-signing-key-file={private}",
            "--enable-aggregator-routing",
            f"--proxy-client-cert-file={front_certificate}",
            f"--proxy-client-key-file={front_key}",
            f"--requestheader-client-ca-file={authority.certificate}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            # A lost node is given up at once, as no test has five minutes.
            "--default-not-ready-toleration-seconds=10",
            "--default-unreachable-toleration-seconds=10",
        )
        authority.kubeconfig("admin", API, "admin", "system:masters")
        wait_for("the API server", lambda: self.kubectl("get", "--raw", "/readyz") == "ok")
        controllers = authority.kubeconfig("controllers", API, "system:kube-controller-manager")
        start(
            "controllers",
            self.programs / "kube-controller-manager",
            f"--kubeconfig={controllers}",
            "--leader-elect=false",
            "--use-service-account-credentials",
            f"--root-ca-file={authority.certificate}",
            f"--service-account-private-key-file={private}",
            f"--cluster-signing-cert-file={authority.certificate}",
            f"--cluster-signing-key-file={authority.folder / 'apiserver.key'}",
            "--controllers=*,-csrsigning,-certificatesigningrequest-signing-controller",
            "--node-monitor-period=2s",
            "--node-monitor-grace-period=12s",
            "--horizontal-pod-autoscaler-sync-period=5s",
            "--horizontal-pod-autoscaler-downscale-stabilization=20s",
            "--horizontal-pod-autoscaler-cpu-initialization-period=10s",
            "--horizontal-pod-autoscaler-initial-readiness-delay=5s",
        )
        scheduler = authority.kubeconfig("scheduler", API, "system:kube-scheduler")
        start("scheduler", self.programs / "kube-scheduler", f"--kubeconfig={scheduler}", "--leader-elect=false")

    def _pause(self) -> Path:
        """The image of the process that holds a pod's namespaces, as an archive."""
        store = Store(cache() / "containers")
        if not store.has(PAUSE):
            container = store.buildah("from", "scratch")
            store.buildah("copy", container, str(self.programs / "pause"), "/pause")
            store.buildah("config", "--entrypoint", '["/pause"]', container)
            store.buildah("commit", "--rm", container, PAUSE)
        archive = self.folder / "pause.tar"
        export(store, PAUSE, archive)
        return archive

    def _dns(self, authority: Authority) -> None:
        kubeconfig = authority.kubeconfig("dns", API, "dns", "system:masters")
        settings = self.folder / "Corefile"
        settings.write_text(
            f".:53 {{\n  bind {FIRST.address}\n  errors\n  cache 5\n  kubernetes cluster.local {{\n    kubeconfig {kubeconfig} rollhouse\n  }}\n}}\n"
        )
        self.processes.start("dns", [str(self.programs / "dns"), "-conf", str(settings)], namespace=FIRST.name)

    def _metrics(self, authority: Authority) -> None:
        """The resource metrics by which the autoscaler decides: a server beside the cluster, known to the API server by a Service without pods."""
        kubeconfig = authority.kubeconfig("metrics", API, "metrics-server", "system:masters")
        command = [
            self.programs / "metrics-server",
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-certificate-authority={authority.certificate}",
            f"--secure-port={METRICS_PORT}",
            f"--bind-address={FIRST.address}",
            f"--cert-dir={self.folder / 'metrics'}",
            "--metric-resolution=10s",
            "--kubelet-request-timeout=5s",
        ]
        self.processes.start("metrics", [str(part) for part in command], namespace=FIRST.name)
        name = {"name": "metrics-server", "namespace": "kube-system"}
        port = {"port": METRICS_PORT, "protocol": "TCP"}
        self.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": name, "spec": {"ports": [{**port, "port": 443, "targetPort": METRICS_PORT}]}},
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": name | {"labels": {"kubernetes.io/service-name": "metrics-server"}},
                "addressType": "IPv4",
                "ports": [port],
                "endpoints": [{"addresses": [FIRST.address], "conditions": {"ready": True}}],
            },
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": "v1beta1.metrics.k8s.io"},
                "spec": {
                    "group": "metrics.k8s.io",
                    "version": "v1beta1",
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                    "insecureSkipTLSVerify": True,
                    "service": {"name": "metrics-server", "namespace": "kube-system", "port": 443},
                },
            },
        )
