"""The `rollhouse` command with all its verbs: importing a module adds that module's."""

from rollhouse.cli import api_key, audit, database, demo, dev, doctor, lifecycle, oauth, operator, seed, serve, simulate, tenants, worker  # noqa: F401 - each adds commands
from rollhouse.cli.invocation import guarded
from rollhouse.cli.root import rollhouse


def main() -> None:
    """Run the command line."""
    guarded(lambda: rollhouse.main(standalone_mode=False))
