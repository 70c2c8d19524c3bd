"""Load on a running Rollhouse, as the simulated Entra ID would send it, by locust: `python -m loadtests --help`."""
