"""`rollhouse schema` and `rollhouse resource-type`: what a tenant defines itself, tried before it is done, and refused where a resource would break."""

import sys
from pathlib import Path
from typing import Any, Self

import click
import msgspec

from rollhouse.cli.invocation import Invocation, command, group, pass_invocation
from rollhouse.cli.root import rollhouse
from rollhouse.database.pool import Database
from rollhouse.directory import registries
from rollhouse.directory.registries import Edit, Offence
from rollhouse.scim import definitions
from rollhouse.scim.definitions import Definition, Definitions, TypeDefinition
from rollhouse.scim.errors import InvalidValue
from rollhouse.scim.schemas import Schema
from rollhouse.tenancy import tenants

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
DOES_NOT_FIT = 1


@group(rollhouse, "schema")
def schema() -> None:
    """Define schemas of a tenant: extensions of users and groups, or of its own resource types."""


@group(rollhouse, "resource-type")
def resource_type() -> None:
    """Define resource types of a tenant, each with an endpoint of its own."""


class _Reading:
    """How many resources have been read so far, on a terminal; how many there will be nobody knows before."""

    def __init__(self) -> None:
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def advance(self, count: int) -> None:
        """So many more."""
        self._count += count
        if sys.stderr.isatty():
            click.echo(f"\r{self._count:,} resources read", err=True, nl=False)

    def __exit__(self, *_: object) -> None:
        if self._count and sys.stderr.isatty():
            click.echo("", err=True)


def _read(path: Path) -> Definition:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidValue(f"{path} is no JSON object: {error}.") from None


def _schema_edit(found: Schema, extends: str | None, *, required: bool) -> Edit:
    if required and extends is None:
        raise click.UsageError("--required goes with --extends.")

    return lambda known: known.with_schema(found, extends=extends, required=required)


def _change(invocation: Invocation, slug: str, edit: Edit, action: str, target: tuple[str, str]) -> None:
    async def work(database: Database) -> None:
        tenant = await tenants.find_tenant(database, slug)
        await registries.change_definitions(database, tenant, edit, cause=invocation.cause, action=action, target=target, progress=reading.advance)

    with _Reading() as reading:
        invocation.run(work)


def _try(invocation: Invocation, slug: str, edit: Edit) -> int:
    async def work(database: Database) -> list[Offence]:
        tenant = await tenants.find_tenant(database, slug)
        return await registries.try_definitions(database, tenant, edit, cause=invocation.cause, progress=reading.advance)

    with _Reading() as reading:
        offences: list[Offence] = invocation.run(work)
    lines = [f"{one.resource_type} {one.id}: {one.reason}" for one in offences]
    first = f"{len(offences)} resources would not fit{' (it looked no further)' if len(offences) >= registries.OFFENCES_LIMIT else ''}:"
    invocation.show({"offences": offences}, "\n".join([first, *lines]) if offences else "It can be added: every resource of the tenant fits.")
    return DOES_NOT_FIT if offences else 0


def _definitions_of(invocation: Invocation, slug: str) -> Definitions:
    async def work(database: Database) -> Definitions:
        return (await registries.read_definitions(database, (await tenants.find_tenant(database, slug)).id))[0]

    found: Definitions = invocation.run(work)
    return found


@command(schema, "add", example="rollhouse schema add acme badge.json --extends User")
@click.argument("slug")
@click.argument("file", type=FILE)
@click.option("--extends", metavar="TYPE", help="Make it an extension of this resource type, such as User.")
@click.option("--required", is_flag=True, help="With --extends: every resource of the type must have it.")
@pass_invocation
def add_schema(invocation: Invocation, slug: str, file: Path, extends: str | None, *, required: bool) -> None:
    """Add the schema in FILE (JSON of RFC 7643 section 7; "indexed": true marks what is searched for), or replace the one of its URN."""
    found = definitions.read_schema(_read(file))
    _change(invocation, slug, _schema_edit(found, extends, required=required), "schema.defined", ("Schema", found.id))
    invocation.show({"id": found.id}, f"{found.id} is defined for {slug}" + (f" and extends {extends}." if extends else "."))


@command(schema, "validate", example="rollhouse schema validate acme badge.json --extends User --required")
@click.argument("slug")
@click.argument("file", type=FILE)
@click.option("--extends", metavar="TYPE", help="As for add.")
@click.option("--required", is_flag=True, help="As for add.")
@pass_invocation
def validate_schema(invocation: Invocation, slug: str, file: Path, extends: str | None, *, required: bool) -> int:
    """Say whether the schema in FILE can be added, and else which resources are in the way; nothing is changed. Exit code 1 if some are."""
    return _try(invocation, slug, _schema_edit(definitions.read_schema(_read(file)), extends, required=required))


@command(schema, "list", example="rollhouse schema list acme --json")
@click.argument("slug")
@pass_invocation
def list_schemas(invocation: Invocation, slug: str) -> None:
    """List the schemas that a tenant has defined; with --json whole, as `add` reads them."""
    found = list(_definitions_of(invocation, slug).schemas.values())
    lines = [f"{one.id:<60} {one.name} ({len(one.attributes)} attributes)" for one in found]
    invocation.show([definitions.described(one) for one in found], "\n".join(lines) or f"{slug} has defined no schema: rollhouse schema add {slug} FILE")


@command(schema, "remove", example="rollhouse schema remove acme urn:example:params:scim:schemas:Badge")
@click.argument("slug")
@click.argument("urn")
@pass_invocation
def remove_schema(invocation: Invocation, slug: str, urn: str) -> None:
    """Remove a schema by its URN; refused while a resource has values of it."""
    _change(invocation, slug, lambda known: known.without_schema(urn), "schema.removed", ("Schema", urn))
    invocation.show({"id": urn}, f"{urn} is removed from {slug}.")


@command(resource_type, "add", example="rollhouse resource-type add acme badges.json")
@click.argument("slug")
@click.argument("file", type=FILE)
@pass_invocation
def add_resource_type(invocation: Invocation, slug: str, file: Path) -> None:
    """Add the resource type in FILE (JSON of RFC 7643 section 6), or replace the one of its name; its schemas must be there."""
    one = definitions.read_resource_type(_read(file))
    _change(invocation, slug, lambda known: known.with_type(one), "resource_type.defined", ("ResourceType", one.name))
    invocation.show({"name": one.name, "endpoint": f"/{one.endpoint}"}, f"{one.name} is served to {slug} under /{one.endpoint}.")


@command(resource_type, "validate", example="rollhouse resource-type validate acme badges.json")
@click.argument("slug")
@click.argument("file", type=FILE)
@pass_invocation
def validate_resource_type(invocation: Invocation, slug: str, file: Path) -> int:
    """Say whether the resource type in FILE can be added, and else which resources are in the way. Exit code 1 if some are."""
    one = definitions.read_resource_type(_read(file))
    return _try(invocation, slug, lambda known: known.with_type(one))


@command(resource_type, "list", example="rollhouse resource-type list acme")
@click.argument("slug")
@pass_invocation
def list_resource_types(invocation: Invocation, slug: str) -> None:
    """List the resource types that a tenant has defined or extended."""
    found: list[TypeDefinition] = list(_definitions_of(invocation, slug).resource_types.values())
    lines = [f"{one.name:<24} /{one.endpoint:<24} {one.schema}" for one in found]
    shown = [msgspec.structs.replace(one, endpoint=f"/{one.endpoint}") for one in found]
    invocation.show(shown, "\n".join(lines) or f"{slug} has defined no resource type: rollhouse resource-type add {slug} FILE")


@command(resource_type, "remove", example="rollhouse resource-type remove acme Badge")
@click.argument("slug")
@click.argument("name")
@pass_invocation
def remove_resource_type(invocation: Invocation, slug: str, name: str) -> None:
    """Remove a resource type by its NAME, or what was said of User or Group; refused while there are resources that need it."""
    _change(invocation, slug, lambda known: known.without_type(name), "resource_type.removed", ("ResourceType", name))
    invocation.show({"name": name}, f"{name} is removed from {slug}.")
