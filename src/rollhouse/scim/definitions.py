"""A tenant's own schemas and resource types, written as RFC 7643 sections 6 and 7 show them: read, held to rules, and made into a registry."""

import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from rollhouse.scim.errors import Conflict, InvalidValue, NotFound, quoted
from rollhouse.scim.registry import DISCOVERY, Registry
from rollhouse.scim.schemas import COMMON, EXTERNAL_ID, GROUP_MEMBER, RESOURCE_TYPES, Attribute, ResourceType, Schema

SCHEMAS_LIMIT = 50
RESOURCE_TYPES_LIMIT = 20
ATTRIBUTES_LIMIT = 200
"""Attributes and sub-attributes of one schema."""
INDEXED_LIMIT = 20
"""Indexed values of one resource type: each is a row more for every resource."""
DEFINITION_BYTES_LIMIT = 65_536
DEFINITIONS_BYTES_LIMIT = 262_144
"""All schemas of a tenant together: what a process remembers of it."""
VALUES_LIMIT = 100
"""`canonicalValues` of one attribute."""
_RESERVED_NAMES = (GROUP_MEMBER.name.lower(), "validate")
"""Names that resource types of ours have, or that mean something else in the admin API's paths."""
RESERVED_ENDPOINTS = frozenset({"bulk", "me", "schemas", "resourcetypes", "serviceproviderconfig", "groupmembers"})

_URN = re.compile(r"urn:[A-Za-z0-9][A-Za-z0-9-]{1,31}:[A-Za-z0-9()+,\-.:=@;$_!*']{1,200}", re.IGNORECASE)
_MESSAGES = "urn:ietf:params:scim:api:"
_ATTRIBUTE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_$-]{0,63}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_TYPE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_ENDPOINT = re.compile(r"/?([A-Za-z][A-Za-z0-9_-]{0,63})")
_ATTRIBUTE_MEMBERS = frozenset(
    {"name", "type", "multiValued", "description", "required", "caseExact", "mutability", "returned", "uniqueness"}
    | {"canonicalValues", "referenceTypes", "subAttributes", "indexed"}
)
_WORDS = {name: get_args(kind) for name, kind in get_type_hints(Attribute).items() if get_origin(kind) is Literal}
"""What the characteristics of an attribute may be, by name."""
_SCHEMA_MEMBERS = frozenset({"schemas", "id", "name", "description", "attributes", "meta"})
_TYPE_MEMBERS = frozenset({"schemas", "id", "name", "description", "endpoint", "schema", "schemaExtensions", "meta"})
_KEPT = {known.name: known for known in RESOURCE_TYPES}

Definition = dict[str, Any]


class Extension(msgspec.Struct, frozen=True):
    """An extension of a resource type by its URN, and whether every resource has it."""

    schema: str
    required: bool = False


class TypeDefinition(msgspec.Struct, frozen=True, rename="camel"):
    """A resource type as section 6 describes it."""

    name: str
    endpoint: str
    schema: str
    description: str = ""
    schema_extensions: tuple[Extension, ...] = ()


class Definitions(msgspec.Struct, frozen=True):
    """What a tenant has defined: schemas by URN in lower case, and resource types by name."""

    schemas: dict[str, Schema] = {}
    resource_types: dict[str, TypeDefinition] = {}

    def with_schema(self, schema: Schema, *, extends: str | None = None, required: bool = False) -> "Definitions":
        """These, and the schema in place of one of the same URN; `extends` names a resource type that it is to be an extension of.

        Raises:
            NotFound: there is no such resource type.
        """
        made = Definitions({**self.schemas, schema.id.lower(): schema}, self.resource_types)
        return made if extends is None else made.extended(extends, schema.id, required=required)

    def with_type(self, one: TypeDefinition) -> "Definitions":
        """These, and the resource type in place of one of the same name."""
        return Definitions(self.schemas, {**self.resource_types, one.name: one})

    def extended(self, type_name: str, urn: str, *, required: bool) -> "Definitions":
        """These, with the schema as an extension of a resource type, in place of the same extension.

        Raises:
            NotFound: there is no such resource type.
        """
        one = self.resource_type(type_name)
        kept = tuple(other for other in one.schema_extensions if other.schema.lower() != urn.lower())
        return self.with_type(msgspec.structs.replace(one, schema_extensions=(*kept, Extension(urn, required))))

    def without_schema(self, urn: str) -> "Definitions":
        """These without the schema, and without it as an extension of anything.

        Raises:
            NotFound: the tenant has defined no such schema.
            Conflict: a resource type is made of it.
        """
        self.schema(urn)
        if made := [name for name, one in self.resource_types.items() if one.schema.lower() == urn.lower()]:
            raise Conflict(f"The resource type {made[0]} is made of this schema. Remove that first.")
        types = {
            name: msgspec.structs.replace(one, schema_extensions=tuple(other for other in one.schema_extensions if other.schema.lower() != urn.lower()))
            for name, one in self.resource_types.items()
        }
        return Definitions({key: schema for key, schema in self.schemas.items() if key != urn.lower()}, types)

    def without_type(self, name: str) -> "Definitions":
        """These without the resource type; of one that every tenant has, without what the tenant said of it.

        Raises:
            NotFound: the tenant has defined no such resource type.
        """
        self.own_type(name)
        return Definitions(self.schemas, {key: one for key, one in self.resource_types.items() if key != name})

    def schema(self, urn: str) -> Schema:
        """The schema of that URN that the tenant has defined.

        Raises:
            NotFound: it has defined none.
        """
        if urn.lower() not in self.schemas:
            raise NotFound(f"The tenant has defined no schema {quoted(urn)}.")
        return self.schemas[urn.lower()]

    def own_type(self, name: str) -> TypeDefinition:
        """The resource type of that name that the tenant has defined, or what it has said of one that every tenant has.

        Raises:
            NotFound: it has defined none.
        """
        if name not in self.resource_types:
            raise NotFound(f"The tenant has defined no resource type {quoted(name)}.")
        return self.resource_types[name]

    def resource_type(self, name: str) -> TypeDefinition:
        """The resource type of that name: the tenant's own, or as every tenant has it.

        Raises:
            NotFound: there is none.
        """
        if name in self.resource_types:
            return self.resource_types[name]
        if name in _KEPT:
            return outline(_KEPT[name])
        known = ", ".join(sorted({*_KEPT, *self.resource_types}))
        raise NotFound(f"There is no resource type {quoted(name)}; there are {known}.")

    def registry(self, revision: int) -> Registry:
        """What requests are read by.

        Raises:
            InvalidValue: the definitions do not fit together.
        """
        if len(self.schemas) > SCHEMAS_LIMIT or len(self.resource_types) > RESOURCE_TYPES_LIMIT:
            raise InvalidValue(f"A tenant defines at most {SCHEMAS_LIMIT} schemas and {RESOURCE_TYPES_LIMIT} resource types.")
        if sum(len(msgspec.json.encode(one)) for one in self.schemas.values()) > DEFINITIONS_BYTES_LIMIT:
            raise InvalidValue(f"A tenant's schemas have at most {DEFINITIONS_BYTES_LIMIT} bytes together. Shorten their descriptions.")
        own = [one for name, one in self.resource_types.items() if name not in _KEPT]
        outlines = [self.resource_type(name) for name in _KEPT] + own
        endpoints = {one.name: one.endpoint for one in outlines}
        known = {key: _bound(schema, endpoints) for key, schema in self.schemas.items()}
        made = tuple(_made(one, known) for one in outlines)
        for names in ([one.endpoint.lower() for one in made], [one.name.lower() for one in made]):
            if len(set(names)) < len(names):
                raise InvalidValue(
                    f"Two resource types have the name or endpoint {quoted(next(one for one in names if names.count(one) > 1))}; choose another."
                )
        return Registry(made, revision)


def outline(resource_type: ResourceType) -> TypeDefinition:
    """The definition of a resource type."""
    extensions = tuple(Extension(one.id, one.id.lower() in resource_type.required_extensions) for one in resource_type.extensions)
    return TypeDefinition(resource_type.name, resource_type.endpoint, resource_type.schema.id, resource_type.description, extensions)


def read_schema(definition: Definition) -> Schema:
    """The schema that a definition states (RFC 7643 section 7).

    Beside the RFC's members an attribute may say `"indexed": true`; a unique one is indexed anyhow.

    Raises:
        InvalidValue: it does not hold together; the detail names the attribute.
    """
    _check_members(definition, _SCHEMA_MEMBERS, "The schema")
    attributes = definition.get("attributes")
    for one in attributes if isinstance(attributes, list) else []:
        _check_attribute_members(one)
    schema = _converted({"description": "", **{name: definition[name] for name in definition if name not in ("schemas", "meta")}}, Schema, "The schema")
    if _URN.fullmatch(schema.id) is None or schema.id.lower().startswith(_MESSAGES):
        raise InvalidValue(f"The id of a schema is a URN such as urn:example:params:scim:schemas:Badge, not {quoted(schema.id)}.")
    if schema.id.lower() in _RESERVED_URNS:
        raise InvalidValue(f"The schema {schema.id} is there for every tenant and stays as it is; extend the resource type by a schema of your own.")
    if len(msgspec.json.encode(definition)) > DEFINITION_BYTES_LIMIT:
        raise InvalidValue(f"The schema is larger than {DEFINITION_BYTES_LIMIT} bytes. Shorten its descriptions, or split it.")
    if not schema.attributes:
        raise InvalidValue("The schema has no attributes; it needs at least one.")
    count = sum(1 + len(one.sub_attributes) for one in schema.attributes)
    if count > ATTRIBUTES_LIMIT:
        raise InvalidValue(f"The schema has {count} attributes and sub-attributes; at most {ATTRIBUTES_LIMIT} are taken.")
    _check_names(schema.attributes, "The schema")
    for attribute in schema.attributes:
        if attribute.key in COMMON:
            raise InvalidValue(f"{attribute.name} is an attribute of every resource (RFC 7643 section 3.1); leave it out.")
        _check_attribute(attribute, attribute.name)
    return Schema(schema.id, schema.name, schema.description, tuple(_enforced(one) for one in schema.attributes))


def read_resource_type(definition: Definition) -> TypeDefinition:
    """The resource type that a definition states (RFC 7643 section 6).

    Raises:
        InvalidValue: it does not hold together.
    """
    _check_members(definition, _TYPE_MEMBERS, "The resource type")
    members = {name: value for name, value in definition.items() if name not in ("schemas", "meta", "id")}
    found: TypeDefinition = _converted(members, TypeDefinition, "The resource type")
    if _TYPE_NAME.fullmatch(found.name) is None or found.name.lower() in _RESERVED_NAMES:
        raise InvalidValue(f"The name of a resource type has letters and digits, as in TestResource, and is not taken, unlike {quoted(found.name)}.")
    endpoint = _ENDPOINT.fullmatch(found.endpoint)
    if endpoint is None or endpoint[1].lower() in RESERVED_ENDPOINTS:
        raise InvalidValue(f"The endpoint is one word that is not taken, as in /TestResources, not {quoted(found.endpoint)}.")
    found = msgspec.structs.replace(found, endpoint=endpoint[1])
    kept = _KEPT.get(found.name)
    if kept is not None and (found.endpoint, found.schema) != (kept.endpoint, kept.schema.id):
        raise InvalidValue(f"{kept.name} has the endpoint /{kept.endpoint} and the schema {kept.schema.id} for every tenant; only its extensions are yours.")
    return found


def described(schema: Schema) -> Definition:
    """The definition of a schema, with `indexed` where it is marked: what `read_schema` reads back."""

    def one(attribute: Attribute) -> Definition:
        shown = attribute.describe() | ({"indexed": True} if attribute.indexed else {})
        return shown | ({"subAttributes": [one(sub) for sub in attribute.sub_attributes]} if attribute.sub_attributes else {})

    return {"id": schema.id, "name": schema.name, "description": schema.description, "attributes": [one(each) for each in schema.attributes]}


_STANDARD_SCHEMAS = {key: schema for one in RESOURCE_TYPES for key, schema in one.schemas.items()}
_RESERVED_URNS = {*_STANDARD_SCHEMAS, GROUP_MEMBER.schema.id.lower(), *(one.id.lower() for one in DISCOVERY)}


def _made(one: TypeDefinition, own: dict[str, Schema]) -> ResourceType:
    known = _STANDARD_SCHEMAS | own
    for urn in (one.schema, *(extension.schema for extension in one.schema_extensions)):
        if urn.lower() not in known:
            raise InvalidValue(f"The resource type {one.name} needs the schema {quoted(urn)}, which is not there; add it first.")
    core = known[one.schema.lower()]
    extensions = tuple(known[extension.schema.lower()] for extension in one.schema_extensions)
    if len({core.id, *(schema.id for schema in extensions)}) <= len(extensions):
        raise InvalidValue(f"The resource type {one.name} names a schema twice.")
    required = frozenset(extension.schema.lower() for extension in one.schema_extensions if extension.required)
    kept = _KEPT.get(one.name)
    if kept is not None:
        made = msgspec.structs.replace(kept, extensions=extensions, required_extensions=required, description=one.description or kept.description)
    else:
        if core.id.lower() in _STANDARD_SCHEMAS:
            raise InvalidValue(f"The schema {core.id} belongs to the resource type that has it; give {one.name} a schema of your own.")
        if core.attribute(EXTERNAL_ID.name) is None:
            core = Schema(core.id, core.name, core.description, (EXTERNAL_ID, *core.attributes))
        made = ResourceType(one.name, one.endpoint, one.description, core, extensions, required)
    if len(made.index_paths) > INDEXED_LIMIT:
        raise InvalidValue(f"{one.name} would have {len(made.index_paths)} indexed values; at most {INDEXED_LIMIT} are kept. Mark fewer attributes.")
    return made


def _bound(schema: Schema, endpoints: dict[str, str]) -> Schema:
    """The schema, its references knowing the endpoints of the resource types that they name."""

    def one(attribute: Attribute) -> Attribute:
        subs = tuple(one(sub) for sub in attribute.sub_attributes)
        found = tuple(endpoints[name] for name in attribute.reference_types if name in endpoints)
        missing = [name for name in attribute.reference_types if name not in endpoints and name not in ("uri", "external")]
        if missing:
            raise InvalidValue(f"{attribute.name} refers to {quoted(missing[0])}, which is no resource type of this tenant; nor is it uri or external.")
        return msgspec.structs.replace(attribute, sub_attributes=subs, endpoints=found)

    return Schema(schema.id, schema.name, schema.description, tuple(one(each) for each in schema.attributes))


def _enforced(attribute: Attribute) -> Attribute:
    """The attribute with its choices binding; letter case is nothing that a complex one has, and is not shown of it."""
    case_exact = attribute.case_exact and attribute.type != "complex"
    return msgspec.structs.replace(attribute, enforced=True, case_exact=case_exact, sub_attributes=tuple(_enforced(sub) for sub in attribute.sub_attributes))


def _converted(members: Definition, kind: Any, what: str) -> Any:
    try:
        found = msgspec.convert(members, kind)
    except msgspec.ValidationError as error:
        raise InvalidValue(f"{what} cannot be taken: {error} (RFC 7643 sections 6 and 7).") from None
    if any(_CONTROL.search(text) for text in _texts(msgspec.to_builtins(found))):
        raise InvalidValue(f"{what} holds a control character, which no page and no log can show. Take it out.")
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield from _texts(part)


def _check_members(definition: object, known: frozenset[str], what: str) -> None:
    if not isinstance(definition, dict):
        raise InvalidValue(f"{what} must be a JSON object.")
    unknown = sorted(definition.keys() - known)
    if unknown:
        raise InvalidValue(f"{what} has the unknown member {quoted(unknown[0])}; known are {', '.join(sorted(known))}.")


def _check_attribute_members(definition: object) -> None:
    _check_members(definition, _ATTRIBUTE_MEMBERS, "An attribute")
    if not isinstance(definition, dict):
        return
    for name, words in _WORDS.items():
        if name in definition and definition[name] not in words:
            raise InvalidValue(
                f"The {name} of the attribute {quoted(str(definition.get('name')))} must be one of {', '.join(words)}, not {quoted(str(definition[name]))}."
            )
    subs = definition.get("subAttributes")
    for one in subs if isinstance(subs, list) else []:
        _check_attribute_members(one)


def _check_names(attributes: tuple[Attribute, ...], what: str) -> None:
    seen: set[str] = set()
    for one in attributes:
        if _ATTRIBUTE_NAME.fullmatch(one.name) is None and one.name != "$ref":
            raise InvalidValue(f"{quoted(one.name)} cannot be the name of an attribute: a letter, then letters, digits, -, _ and $ (RFC 7643 section 2.1).")
        if one.key in seen:
            raise InvalidValue(f"{what} has two attributes {quoted(one.name)}; letter case makes no difference.")
        seen.add(one.key)


def _check_attribute(attribute: Attribute, label: str, *, is_sub: bool = False) -> None:
    is_complex = attribute.type == "complex"
    marks = attribute.indexed or attribute.uniqueness != "none"
    rules = (
        (is_complex and is_sub, "is complex within a complex attribute, which RFC 7643 section 2.3.8 forbids"),
        (is_complex and not attribute.sub_attributes, "is complex and needs subAttributes"),
        (not is_complex and bool(attribute.sub_attributes), f"has subAttributes, so its type is complex, not {attribute.type}"),
        (is_complex and marks, "is complex: mark one of its parts as indexed or unique"),
        (attribute.type == "boolean" and attribute.uniqueness != "none", "is true or false and cannot be unique"),
        (attribute.type == "binary" and marks, "is binary and cannot be indexed or unique"),
        (bool(attribute.canonical_values) and attribute.type != "string", "has canonicalValues, which only text takes"),
        (len(attribute.canonical_values) > VALUES_LIMIT, f"has more than {VALUES_LIMIT} canonicalValues"),
        (bool(attribute.reference_types) and attribute.type != "reference", "has referenceTypes, which only a reference takes"),
        (attribute.required and attribute.mutability == "readOnly", "is required and read-only: nobody could give it a value"),
        (attribute.required and attribute.returned == "never", "is required and never returned: such a value is checked and not kept"),
        (marks and attribute.returned == "never", "is never returned, so it is not kept and cannot be indexed or unique"),
        (attribute.mutability == "writeOnly" and attribute.returned != "never", "is writeOnly, so its returned is never (RFC 7643 section 7)"),
    )
    for broken, words in rules:
        if broken:
            raise InvalidValue(f"{label} {words}.")
    _check_names(attribute.sub_attributes, label)
    for sub in attribute.sub_attributes:
        _check_attribute(sub, f"{label}.{sub.name}", is_sub=True)
