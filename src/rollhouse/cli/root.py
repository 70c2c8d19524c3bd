"""The group `rollhouse`; the module of a command is loaded when that command, or the help of all, is asked for."""

from importlib import import_module

import click

from rollhouse import __version__
from rollhouse.cli.invocation import group

MODULES = {
    "api-key": "api_key",
    "audit": "audit",
    "client": "oauth",
    "conformance": "conformance",
    "demo": "demo",
    "dev": "dev",
    "doctor": "doctor",
    "migrate": "database",
    "operator": "operator",
    "resource-type": "schemas",
    "schema": "schemas",
    "secret": "tenants",
    "seed": "seed",
    "serve": "serve",
    "simulate": "simulate",
    "tenant": "lifecycle",
    "worker": "worker",
}
"""The module of this room that adds a command, itself or by what it imports. A process that serves holds no code of the others."""


class Loading(click.Group):
    """A group whose commands are loaded by name."""

    def list_commands(self, context: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names of all."""
        return sorted(MODULES)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of that name, loaded if it was not; None if there is none."""
        if name in MODULES:
            import_module(f"rollhouse.cli.{MODULES[name]}")
        return super().get_command(context, name)


@group(None, "rollhouse", cls=Loading)
@click.version_option(__version__)
def rollhouse() -> None:
    """A multi-tenant SCIM 2.0 provisioning service.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 something must be done first.
    """


def whole() -> click.Group:
    """The group with every command loaded."""
    for module in set(MODULES.values()):
        import_module(f"rollhouse.cli.{module}")
    return rollhouse
