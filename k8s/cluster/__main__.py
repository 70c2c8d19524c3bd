"""`python -m k8s.cluster up | load | down`: the test cluster by hand."""

import argparse
import sys

from k8s.cluster.cluster import FIRST, Cluster
from k8s.cluster.image import Store, build
from k8s.cluster.processes import run
from k8s.cluster.tools import Missing, cache

MISSING = 3


def main() -> int:
    """Do it; 3 where this machine lacks something."""
    parser = argparse.ArgumentParser(prog="python -m k8s.cluster", description=__doc__, epilog="Example: python -m k8s.cluster up")
    parser.add_argument("verb", choices=["up", "load", "down"], help="make the cluster; build the image and give it to the nodes; take it down whole")
    verb = parser.parse_args().verb
    cluster = Cluster()
    try:
        if verb == "up":
            cluster.up()
            inside = f"nsenter --net=/run/netns/{FIRST.name} {cluster.programs}"
            print(f"Two nodes are ready. For a shell:\nexport KUBECONFIG={cluster.kubeconfig}")
            print(f"alias kubectl='{inside}/kubectl' helm='{inside}/helm'")
        elif verb == "load":
            store = Store(cache() / "containers")
            cluster.load(store, build(store, "0.1.0", run("git", "rev-parse", "--short", "HEAD").strip()))
        else:
            cluster.down()
    except Missing as error:
        print(f"missing: {error}", file=sys.stderr)
        return MISSING
    return 0


if __name__ == "__main__":
    sys.exit(main())
