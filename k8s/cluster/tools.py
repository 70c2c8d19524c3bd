"""The programs of Kubernetes: built from the modules that k8s/tools/go.mod pins, once for each go.sum, and kept in a cache."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

TOOLS = Path(__file__).parents[1] / "tools"
KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
OTHERS = {
    "helm": "helm.sh/helm/v4/cmd/helm",
    "metrics-server": "sigs.k8s.io/metrics-server/cmd/metrics-server",
    "kube-router": "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
    "dns": "./dns",
    "pause": "./pause",
}

OPERATOR = "example/prometheus-operator-crd/monitoring.coreos.com_"
DEFINITIONS = {
    "sigs.k8s.io/gateway-api@v1.6.3": ("config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",),
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (f"{OPERATOR}servicemonitors.yaml", f"{OPERATOR}prometheusrules.yaml"),
}


class Missing(Exception):
    """Something that this machine must have is not there; the message names it and the cure."""


def cache() -> Path:
    """Where what is built once is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rollhouse"


def version() -> str:
    """The version of Kubernetes that is pinned, such as v1.36.3."""
    return _go("list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")


def programs() -> Path:
    """The folder of the programs, built if they are not there: some minutes with two cores the first time.

    Raises:
        Missing: there is no Go, or it is too old; or a program could not be built.
    """
    if shutil.which("go") is None:
        raise Missing("Go is missing, by which the programs of Kubernetes are built; cure: install Go 1.26 or newer and put `go` on the PATH")
    pinned = hashlib.sha256((TOOLS / "go.sum").read_bytes() + (TOOLS / "go.mod").read_bytes() + (TOOLS / "dns" / "main.go").read_bytes())
    folder = cache() / f"tools-{pinned.hexdigest()[:12]}"
    if all((folder / name).exists() for name in (*KUBERNETES, *OTHERS)):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    number = version()
    major, minor = number.removeprefix("v").split(".")[:2]
    component = "k8s.io/component-base/version"
    stamp = f"-s -w -X {component}.gitVersion={number} -X {component}.gitMajor={major} -X {component}.gitMinor={minor}"
    print("Building Kubernetes, once: some minutes.", flush=True)
    _go("build", "-trimpath", "-ldflags", stamp, "-o", f"{folder}/", *(f"k8s.io/kubernetes/cmd/{name}" for name in KUBERNETES))
    _go("build", "-trimpath", "-ldflags", "-s -w", "-o", f"{folder}/", *OTHERS.values())
    return folder


def definitions() -> list[Path]:
    """The files of the custom resources that the chart may make, from the modules of who defines them."""
    found = []
    for module, files in DEFINITIONS.items():
        told = json.loads(_go("mod", "download", "-json", module))
        found += [Path(told["Dir"]) / file for file in files]
    return found


def _go(*arguments: str) -> str:
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    done = subprocess.run(["go", *arguments], cwd=TOOLS, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Missing(f"go {arguments[0]} failed, cure: Go 1.26 or newer, and its module proxy in reach:\n{done.stderr[-3000:]}")
    return done.stdout.strip()
