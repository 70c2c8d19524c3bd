"""A node: a network namespace with a bridge for its pods, a container runtime, a kubelet, a service proxy, and a controller of network policies."""

import contextlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from k8s.cluster.pki import Authority
from k8s.cluster.processes import Processes, run, wait_for

CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb", "net_cls", "net_prio", "perf_event", "systemd")
PAUSE = "localhost/pause:1"


@dataclass(frozen=True)
class Node:
    """Where a node is: its name is its network namespace's too."""

    name: str
    zone: str
    address: str
    pods: str
    """The addresses of its pods, a network with 254 of them."""


class Runner:
    """Starts and ends what runs on a node."""

    def __init__(self, node: Node, folder: Path, processes: Processes, programs: Path) -> None:
        """Nothing runs yet."""
        self.node, self._folder, self._processes, self._programs = node, folder / node.name, processes, programs
        self.socket = Path("/run") / node.name / "containerd.sock"

    def start(self, authority: Authority, server: str, *, cluster: str, dns: str) -> None:
        """Start the runtime, the kubelet and the proxy."""
        self._folder.mkdir(parents=True)
        self.socket.parent.mkdir(exist_ok=True)
        self._make_cgroups()
        self._network_plugin()
        self._runtime()
        wait_for("the container runtime", lambda: self._ctr("version"))
        self._set_up_kubelet(authority, server, dns)
        self.start_kubelet()
        self._proxy(authority, server, cluster)

    def load(self, archive: Path) -> None:
        """Let the runtime have an image."""
        self._ctr("image", "import", str(archive))

    def _set_up_kubelet(self, authority: Authority, server: str, dns: str) -> None:
        node = self.node
        certificate, key = authority.issue(f"kubelet-{node.name}", f"system:node:{node.name}", "system:nodes", addresses=(node.name, node.address))
        made = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": str(authority.certificate)}},
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(certificate),
            "tlsPrivateKeyFile": str(key),
            "address": node.address,
            "healthzBindAddress": "127.0.0.1",
            "clusterDNS": [dns],
            "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "podLogsDir": str(self._folder / "logs"),
            # What a machine with cgroup v1 and without CAP_SYS_RESOURCE needs.
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{node.name}",
            "oomScoreAdj": 0,
            "maxOpenFiles": 20000,
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "nodeStatusUpdateFrequency": "2s",
            "syncFrequency": "10s",
        }
        (self._folder / "kubelet.json").write_text(json.dumps(made))
        authority.kubeconfig(f"kubelet-client-{node.name}", server, f"system:node:{node.name}", "system:nodes").rename(self._folder / "kubelet.kubeconfig")

    def start_kubelet(self) -> None:
        """Start the kubelet, for the first time or again."""
        options = {
            "config": self._folder / "kubelet.json",
            "kubeconfig": self._folder / "kubelet.kubeconfig",
            "hostname-override": self.node.name,
            "node-ip": self.node.address,
            "root-dir": self._folder / "kubelet",
            "cert-dir": self._folder / "certificates",
            "node-labels": f"topology.kubernetes.io/zone={self.node.zone}",
            "v": 1,
        }
        self._start("kubelet", [str(self._programs / "kubelet"), *(f"--{name}={value}" for name, value in options.items())])

    def stop_kubelet(self) -> None:
        """End the kubelet alone: its pods run on, and nobody hears of them."""
        self._processes.stop(f"{self.node.name}-kubelet")

    def stop(self) -> None:
        """End every pod and all that was started."""
        for part in ("policies", "proxy", "kubelet"):
            self._processes.stop(f"{self.node.name}-{part}")
        if self.socket.exists():
            for task in self._ctr("task", "ls", "-q", check=False).split():
                self._ctr("task", "kill", "-s", "SIGKILL", "-a", task, check=False)
                self._ctr("task", "rm", "-f", task, check=False)
            for name in self._pod_networks():
                run("ip", "netns", "del", name, check=False)
        self._processes.stop(f"{self.node.name}-containerd")
        shutil.rmtree(self.socket.parent, ignore_errors=True)
        self._remove_cgroups()

    def _pod_networks(self) -> set[str]:
        """The network namespaces that the runtime has made for pods."""
        found = set()
        for container in self._ctr("container", "ls", "-q", check=False).split():
            told = self._ctr("container", "info", container, check=False)
            found |= set(re.findall(r"/run/netns/(cni-[0-9a-f-]+)", told))
        return found

    def _start(self, part: str, command: list[str]) -> None:
        self._processes.start(f"{self.node.name}-{part}", command, namespace=self.node.name)

    def _ctr(self, *arguments: str, check: bool = True) -> str:
        return run("ctr", "--address", str(self.socket), "--namespace", "k8s.io", *arguments, check=check)

    def _make_cgroups(self) -> None:
        for controller in CONTROLLERS:
            top = Path("/sys/fs/cgroup") / controller
            made = top / self.node.name
            if not top.is_dir():
                continue
            made.mkdir(exist_ok=True)
            if controller == "cpuset":
                for name in ("cpuset.cpus", "cpuset.mems"):
                    (made / name).write_text((top / name).read_text())

    def _remove_cgroups(self) -> None:
        for controller in CONTROLLERS:
            top = Path("/sys/fs/cgroup") / controller / self.node.name
            for folder in sorted(top.rglob("*"), key=lambda path: len(path.parts), reverse=True) if top.is_dir() else []:
                if folder.is_dir():
                    with contextlib.suppress(OSError):
                        folder.rmdir()
            with contextlib.suppress(OSError):
                top.rmdir()

    def _network_plugin(self) -> None:
        bridge = {
            "type": "bridge",
            "bridge": "pods0",
            "isGateway": True,
            "ipMasq": False,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(self._folder / "addresses"),
                "ranges": [[{"subnet": self.node.pods}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        listed = {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]}
        folder = self._folder / "net.d"
        folder.mkdir()
        (folder / "10-pods.conflist").write_text(json.dumps(listed))

    def _runtime(self) -> None:
        cri = "io.containerd.grpc.v1.cri"
        settings = self._folder / "containerd.toml"
        settings.write_text(f"""
version = 2
root = "{self._folder / "containerd"}"
state = "{self.socket.parent / "state"}"
[grpc]
address = "{self.socket}"
[plugins."{cri}"]
restrict_oom_score_adj = true
enable_unprivileged_ports = true
sandbox_image = "{PAUSE}"
[plugins."{cri}".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{self._folder / "net.d"}"
[plugins."{cri}".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."{cri}".containerd.runtimes.runc.options]
SystemdCgroup = false
""")
        self._start("containerd", ["containerd", "--config", str(settings), "--log-level", "warn"])

    def _proxy(self, authority: Authority, server: str, cluster: str) -> None:
        made = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": {"kubeconfig": str(authority.kubeconfig(f"proxy-{self.node.name}", server, "system:kube-proxy"))},
            "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            "clusterCIDR": cluster,
            "hostnameOverride": self.node.name,
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
        }
        settings = self._folder / "proxy.json"
        settings.write_text(json.dumps(made))
        self._start("proxy", [str(self._programs / "kube-proxy"), f"--config={settings}"])

    def start_policies(self, authority: Authority, server: str, services: str) -> None:
        """Start what enforces network policies; the node must be known."""
        kubeconfig = authority.kubeconfig(f"policies-{self.node.name}", server, "kube-router", "system:masters")
        self._start(
            "policies",
            [
                str(self._programs / "kube-router"),
                f"--kubeconfig={kubeconfig}",
                f"--hostname-override={self.node.name}",
                "--run-router=false",
                "--run-service-proxy=false",
                "--run-loadbalancer=false",
                "--run-firewall=true",
                f"--service-cluster-ip-range={services}",
                "--health-port=0",
                "--metrics-port=0",
                "--iptables-sync-period=30s",
            ],
        )
