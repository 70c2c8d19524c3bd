"""Tenants with definitions and profiles of their own, for the tests of the whole protocol."""

from typing import Any

from rollhouse.database.pool import Database
from rollhouse.directory import registries
from rollhouse.journal.audit import UNATTENDED
from rollhouse.scim.definitions import Definitions, read_resource_type, read_schema
from rollhouse.scim.profile import Profile
from rollhouse.tenancy import credentials, tenants
from rollhouse.tenancy.secrets import Peppers
from tests.conftest import PEPPER
from tests.servers.service import ScimClient

THING_URN = "urn:example:params:scim:schemas:Thing"
NOTE_URN = "urn:example:params:scim:schemas:extension:Note"
THING: dict[str, Any] = {
    "id": THING_URN,
    "name": "Thing",
    "attributes": [
        {"name": "serial", "uniqueness": "server", "required": True, "caseExact": True},
        {"name": "born", "mutability": "immutable"},
        {"name": "stamp", "mutability": "readOnly"},
        {"name": "pin", "mutability": "writeOnly", "returned": "never"},
        {"name": "always", "returned": "always"},
        {"name": "onRequest", "returned": "request"},
        {"name": "colour", "canonicalValues": ["red", "green"]},
        {"name": "height", "type": "integer", "indexed": True},
        {"name": "weight", "type": "decimal", "indexed": True},
        {"name": "valid", "type": "boolean"},
        {"name": "issued", "type": "dateTime", "indexed": True},
        {"name": "blob", "type": "binary"},
        {"name": "owner", "type": "reference", "referenceTypes": ["User"]},
        {"name": "home", "type": "reference", "referenceTypes": ["external"]},
        {"name": "tags", "multiValued": True, "indexed": True},
        {
            "name": "parts",
            "type": "complex",
            "multiValued": True,
            "subAttributes": [
                {"name": "value", "required": True, "indexed": True},
                {"name": "type"},
                {"name": "codes", "multiValued": True},
                {"name": "secret", "returned": "never", "mutability": "writeOnly"},
                {"name": "primary", "type": "boolean"},
            ],
        },
        {"name": "maker", "type": "complex", "subAttributes": [{"name": "name"}, {"name": "country", "mutability": "immutable"}]},
    ],
}
NOTE: dict[str, Any] = {"id": NOTE_URN, "name": "Note", "attributes": [{"name": "text", "required": True}, {"name": "rank", "type": "integer"}]}
THING_TYPE: dict[str, Any] = {"name": "Thing", "endpoint": "/Things", "schema": THING_URN, "schemaExtensions": [{"schema": NOTE_URN, "required": True}]}


def slug_of(client: ScimClient) -> str:
    return client.base_url.split("/")[4]


async def define(database: Database, client: ScimClient, edit: Any) -> None:
    tenant = await tenants.find_tenant(database, slug_of(client))
    await registries.change_definitions(database, tenant, edit, cause=UNATTENDED, action="schema.defined", target=("Schema", "x"))
    await _be_new(database, client)


async def _be_new(database: Database, client: ScimClient) -> None:
    """Give the client a secret that the service has never seen: what it believes of an old one may be some moments old."""
    tenant = await tenants.find_tenant(database, slug_of(client))
    for old in await credentials.list_secrets(database, tenant):
        await credentials.revoke_secret(database, tenant, str(old.id), cause=UNATTENDED)
    made = await credentials.create_secret(database, Peppers.parse(PEPPER), tenant, cause=UNATTENDED)
    client.secret = made.minted.secret
    client.http.headers["authorization"] = f"Bearer {client.secret}"


def things(known: Definitions) -> Definitions:
    """The tenant's definitions with the type Thing and its required extension."""
    return known.with_schema(read_schema(THING)).with_schema(read_schema(NOTE)).with_type(read_resource_type(THING_TYPE))


async def define_things(database: Database, client: ScimClient) -> None:
    await define(database, client, things)


async def set_profile(database: Database, client: ScimClient, **choices: Any) -> None:
    await tenants.set_profile(database, slug_of(client), Profile(**choices), cause=UNATTENDED)
    await _be_new(database, client)


def thing(**attributes: Any) -> dict[str, Any]:
    return {"schemas": [THING_URN, NOTE_URN], "serial": "s1", NOTE_URN: {"text": "a note"}, **attributes}
