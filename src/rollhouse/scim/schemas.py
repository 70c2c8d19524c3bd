"""Schemas and resource types as data (RFC 7643 sections 2, 6 and 7), and how a name is looked up in them."""

from functools import cached_property
from importlib.resources import files
from typing import Any, Literal

import msgspec

AttributeType = Literal["string", "boolean", "decimal", "integer", "dateTime", "binary", "reference", "complex"]

USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_URN = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

_MISSPELT_URNS = {"urn:ietf:params:scim:schemas:extension:enterprise:2.0user": ENTERPRISE_URN}
"""A sample in Entra's documentation lacks the colon before `User` (client catalogue, section 3.3)."""


class Attribute(msgspec.Struct, frozen=True, rename="camel", dict=True):
    """One attribute with its characteristics (RFC 7643 section 7); the defaults are those of section 2.2.

    Three are ours, and not shown: `indexed`, an index finds its values; `enforced`, `canonicalValues` and `referenceTypes` bind instead of
    being examples, as in every attribute that a tenant defines; `endpoints`, those of the `referenceTypes`.
    """

    name: str
    type: AttributeType = "string"
    multi_valued: bool = False
    description: str = ""
    required: bool = False
    case_exact: bool = False
    mutability: Literal["readOnly", "readWrite", "immutable", "writeOnly"] = "readWrite"
    returned: Literal["always", "never", "default", "request"] = "default"
    uniqueness: Literal["none", "server", "global"] = "none"
    canonical_values: tuple[str, ...] = ()
    reference_types: tuple[str, ...] = ()
    sub_attributes: tuple["Attribute", ...] = ()
    indexed: bool = False
    enforced: bool = False
    endpoints: tuple[str, ...] = ()

    @cached_property
    def by_name(self) -> dict[str, "Attribute"]:
        """The sub-attributes by lower-case name."""
        return {sub.name.lower(): sub for sub in self.sub_attributes}

    @cached_property
    def key(self) -> str:
        """The name as it is compared: attribute names are case-insensitive (RFC 7643 section 2.1)."""
        return self.name.lower()

    @cached_property
    def is_exact(self) -> bool:
        """Whether letter case counts: caseExact text, references and binary values (RFC 7643 sections 2.2, 2.3.6, 2.3.7)."""
        return self.case_exact or self.type in ("reference", "binary")

    @property
    def is_kept(self) -> bool:
        """Whether a value that a client sends is stored."""
        return self.mutability != "readOnly" and self.returned != "never"

    def sub(self, name: str) -> "Attribute | None":
        """The sub-attribute of that name in any letter case, or None."""
        return self.by_name.get(name.lower())

    def describe(self) -> dict[str, Any]:
        """The attribute as /Schemas shows it: every characteristic, no nulls, no empty lists."""
        shown: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            "multiValued": self.multi_valued,
            "description": self.description,
            "required": self.required,
        }
        if self.type != "complex":
            shown["caseExact"] = self.case_exact
        shown |= {"mutability": self.mutability, "returned": self.returned, "uniqueness": self.uniqueness}
        if self.canonical_values:
            shown["canonicalValues"] = list(self.canonical_values)
        if self.reference_types:
            shown["referenceTypes"] = list(self.reference_types)
        if self.sub_attributes:
            shown["subAttributes"] = [sub.describe() for sub in self.sub_attributes]
        return shown


class Schema(msgspec.Struct, frozen=True, rename="camel", dict=True):
    """A schema: the attributes under one URN (RFC 7643 section 7)."""

    id: str
    name: str
    description: str
    attributes: tuple[Attribute, ...]

    @cached_property
    def by_name(self) -> dict[str, Attribute]:
        """The attributes by lower-case name."""
        return {attribute.key: attribute for attribute in self.attributes}

    def attribute(self, name: str) -> Attribute | None:
        """The attribute of that name in any letter case, or None."""
        return self.by_name.get(name.lower())


COMMON = {
    "id": Attribute("id", case_exact=True, mutability="readOnly", returned="always", uniqueness="server"),
    "schemas": Attribute("schemas", type="reference", multi_valued=True, case_exact=True, mutability="readOnly", returned="always"),
    "meta": Attribute(
        "meta",
        type="complex",
        mutability="readOnly",
        sub_attributes=(
            Attribute("resourceType", case_exact=True, mutability="readOnly"),
            Attribute("created", type="dateTime", mutability="readOnly"),
            Attribute("lastModified", type="dateTime", mutability="readOnly"),
            Attribute("location", type="reference", case_exact=True, mutability="readOnly"),
            Attribute("version", case_exact=True, mutability="readOnly"),
        ),
    ),
}
"""The common attributes of RFC 7643 section 3.1 but externalId."""


EXTERNAL_ID = Attribute("externalId", description="The identity provider's own identifier of the resource", case_exact=True, indexed=True)
"""A common attribute, too, but each schema lists it, since Entra maps only what /Schemas lists."""


class Reference(msgspec.Struct, frozen=True):
    """An attribute found by name: where it lives (`urn` is None for the core schema) and what it is."""

    urn: str | None
    attribute: Attribute
    sub: Attribute | None = None

    @property
    def leaf(self) -> Attribute:
        """The attribute whose value is meant: the sub-attribute if one was named."""
        return self.sub or self.attribute

    @property
    def index_name(self) -> str:
        """The lower-case name under which an index knows this value, e.g. `emails.value`."""
        return self.label.lower()

    @property
    def label(self) -> str:
        """The name as a person writes it, e.g. `urn:example:2.0:Badge:owner.value`."""
        name = f"{self.urn}:{self.attribute.name}" if self.urn else self.attribute.name
        return f"{name}.{self.sub.name}" if self.sub is not None else name

    @property
    def steps(self) -> tuple[str, ...]:
        """The way from the top of the comparable form to the value."""
        return (*((self.urn.lower(),) if self.urn else ()), self.attribute.key, *((self.sub.key,) if self.sub else ()))


class ResourceType(msgspec.Struct, frozen=True, dict=True):
    """A resource type (RFC 7643 section 6) and what the directory keeps of it beside the document.

    `required_extensions`: the URNs, in lower case, of those extensions that every resource has. `rare`: booleans of which only the value
    false gets a row in `resource_keys`, and `expected`: indexed values whose absence gets one, so that the few are found and the many cost
    nothing.
    `memberships`: the attribute kept as membership rows. `derived`: the read-only attribute computed from those rows. `is_membership`: each
    resource is such a row, and nothing is stored of it beside.
    `defaults`: what a created resource gets when the client is silent; a PUT that is silent keeps the current value (L30).
    """

    name: str
    endpoint: str
    description: str
    schema: Schema
    extensions: tuple[Schema, ...] = ()
    required_extensions: frozenset[str] = frozenset()
    rare: frozenset[str] = frozenset()
    expected: frozenset[str] = frozenset()
    memberships: str | None = None
    derived: str | None = None
    is_membership: bool = False
    defaults: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def relation(self) -> str | None:
        """The attribute that is computed from membership rows: a Group's members, a User's groups."""
        return self.memberships or self.derived

    @cached_property
    def shown_on_request(self) -> tuple[Reference, ...]:
        """The attributes that are shown on request only."""
        return tuple(one for one in self._references if one.leaf.returned == "request")

    @cached_property
    def _references(self) -> tuple[Reference, ...]:
        """Every attribute and sub-attribute of the schema and its extensions."""
        found = []
        for schema in (self.schema, *self.extensions):
            urn = None if schema is self.schema else schema.id
            for attribute in schema.attributes:
                found += [Reference(urn, attribute), *(Reference(urn, attribute, sub) for sub in attribute.sub_attributes)]
        return tuple(found)

    @cached_property
    def required(self) -> tuple[Reference, ...]:
        """What must have a value: in the resource, in each extension that it has, and in each value of a complex attribute."""
        return tuple(one for one in self._references if one.leaf.required)

    @cached_property
    def immutable(self) -> tuple[Reference, ...]:
        """What keeps the value that it once got; of multi-valued attributes only the attribute as a whole."""
        return tuple(one for one in self._references if one.leaf.mutability == "immutable" and not (one.sub and one.attribute.multi_valued))

    @cached_property
    def unique(self) -> dict[str, Reference]:
        """What no two resources of a tenant share, by its index name."""
        return {one.index_name: one for one in self._references if one.leaf.uniqueness != "none"}

    @cached_property
    def index_paths(self) -> dict[str, tuple[str, ...]]:
        """The values that get rows in `resource_keys`: their index name, and the steps to them in the comparable form."""
        return {one.index_name: one.steps for one in self._references if one.leaf.indexed or one.leaf.uniqueness != "none"}

    @cached_property
    def names(self) -> tuple[Reference, ...]:
        """The indexed texts of its core schema, by which people look for a resource."""
        return tuple(one for one in self._references if one.urn is None and one.leaf.type == "string" and one.index_name in self.index_paths)

    @cached_property
    def schemas(self) -> dict[str, Schema]:
        """The core schema and the extensions by lower-case URN."""
        return {schema.id.lower(): schema for schema in (self.schema, *self.extensions)}

    @cached_property
    def declared(self) -> dict[str, Reference]:
        """The attributes by their names as they are declared, those of extensions behind their URN: what nearly every client sends, found at once."""
        return {one.label: one for one in self._references if one.sub is None and one.attribute.name.isalnum() and one.attribute.key not in COMMON}

    @cached_property
    def bare_names(self) -> dict[str, Reference]:
        """What an unqualified attribute name means: common, then core, then (L05) the extensions' attributes."""
        found: dict[str, Reference] = {}
        for extension in self.extensions:
            for attribute in extension.attributes:
                found.setdefault(attribute.key, Reference(extension.id, attribute))
        found |= {attribute.key: Reference(None, attribute) for attribute in self.schema.attributes}
        return found | {name: Reference(None, attribute) for name, attribute in COMMON.items()}

    def split_urn(self, text: str) -> tuple[str | None, str]:
        """A name as (schema URN or None, the rest); an unknown URN ends at its last colon.

        `urn:...:2.0:User:manager.value` gives (`urn:...:2.0:User`, `manager.value`); a dot in place of the last colon
        and the misspelt enterprise URN are accepted (client catalogue, sections 2.1 and 3.3).
        """
        lowered = text.lower()
        if not lowered.startswith("urn:"):
            return None, text
        for known, urn in self._urns:
            if lowered == known:
                return urn, ""
            if lowered.startswith(known) and lowered[len(known)] in ":.":
                return urn, text[len(known) + 1 :]
        head, _, tail = text.rpartition(":")
        return head, tail

    @cached_property
    def _urns(self) -> list[tuple[str, str]]:
        known = {key: schema.id for key, schema in self.schemas.items()}
        known |= {wrong: right for wrong, right in _MISSPELT_URNS.items() if right.lower() in known}
        return sorted(known.items(), key=lambda item: -len(item[0]))

    def canonical_urn(self, text: str) -> str | None:
        """The URN of the schema that `text` names in any letter case or known misspelling, or None."""
        lowered = text.lower()
        return next((urn for known, urn in self._urns if known == lowered), None)

    def find(self, urn: str | None, name: str, sub: str | None = None) -> Reference | None:
        """The attribute `name[.sub]` of the schema `urn` (None: any), or None when no schema declares it."""
        if urn is None:
            found = self.bare_names.get(name.lower())
        else:
            schema = self.schemas.get(urn.lower())
            attribute = schema.attribute(name) if schema else None
            found = Reference(None if schema is self.schema else urn, attribute) if attribute and schema else None
            if found is None and schema is self.schema and name.lower() in COMMON:
                found = Reference(None, COMMON[name.lower()])
        if found is None or sub is None:
            return found
        sub_attribute = found.attribute.sub(sub)
        return Reference(found.urn, found.attribute, sub_attribute) if sub_attribute else None


def load_schema(name: str) -> Schema:
    """The schema in `scim/catalog/<name>.json`."""
    return msgspec.json.decode(files("rollhouse.scim").joinpath(f"catalog/{name}.json").read_bytes(), type=Schema)


USER = ResourceType(
    name="User",
    endpoint="Users",
    description="A person's account",
    schema=load_schema("user"),
    extensions=(load_schema("enterprise_user"),),
    rare=frozenset({"active"}),
    expected=frozenset({"emails.value"}),
    derived="groups",
    defaults={"active": True},
)
GROUP = ResourceType(
    name="Group",
    endpoint="Groups",
    description="A group of people",
    schema=load_schema("group"),
    memberships="members",
)
GROUP_MEMBER = ResourceType(
    name="GroupMember",
    endpoint="GroupMembers",
    description="One membership of a group",
    schema=load_schema("group_member"),
    is_membership=True,
)
RESOURCE_TYPES = (USER, GROUP)
"""What every tenant starts with; a tenant's own types are more values like these, not more code."""
