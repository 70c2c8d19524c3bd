"""A real Kubernetes of two nodes on one machine, in network namespaces of its own, for tests and for trying the chart."""
