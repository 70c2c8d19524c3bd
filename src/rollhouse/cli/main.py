"""The `rollhouse` command."""

from rollhouse.cli.invocation import guarded
from rollhouse.cli.root import rollhouse


def main() -> None:
    """Run the command line."""
    guarded(lambda: rollhouse.main(standalone_mode=False))
