"""The `rollhouse` command and its groups."""

import click

from rollhouse import __version__
from rollhouse.cli.invocation import group, guarded


@group(None, "rollhouse")
@click.version_option(__version__)
def rollhouse() -> None:
    """A multi-tenant SCIM 2.0 provisioning service.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 something must be done first.
    """


def load_commands() -> click.Group:
    """The whole command, each module having added its own verbs."""
    from rollhouse.cli import database, dev, seed, serve, simulate, tenants

    return rollhouse


def main() -> None:
    """Run the command line."""
    guarded(lambda: load_commands().main(standalone_mode=False))
