"""The group `rollhouse`, to which every module of this room adds its commands."""

import click

from rollhouse import __version__
from rollhouse.cli.invocation import group


@group(None, "rollhouse")
@click.version_option(__version__)
def rollhouse() -> None:
    """A multi-tenant SCIM 2.0 provisioning service.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 something must be done first.
    """
