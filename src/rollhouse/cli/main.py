"""The `rollhouse` command with all its verbs: importing a module adds that module's."""

from rollhouse.cli import database, dev, doctor, seed, serve, simulate, tenants  # noqa: F401 - each adds its commands to the group
from rollhouse.cli.invocation import guarded
from rollhouse.cli.root import rollhouse


def main() -> None:
    """Run the command line."""
    guarded(lambda: rollhouse.main(standalone_mode=False))
