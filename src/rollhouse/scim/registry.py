"""The resource types and schemas that one tenant knows, found by endpoint, name or URN."""

from functools import cached_property

import msgspec

from rollhouse.scim.schemas import GROUP_MEMBER, RESOURCE_TYPES, Attribute, ResourceType, Schema, load_schema


class Registry(msgspec.Struct, frozen=True, dict=True):
    """What a tenant's requests are read by; `revision` counts the changes of its own schemas and types, 0 while it has none."""

    resource_types: tuple[ResourceType, ...]
    revision: int = 0

    @cached_property
    def by_endpoint(self) -> dict[str, ResourceType]:
        """The resource types by endpoint in lower case, e.g. `users`."""
        return {one.endpoint.lower(): one for one in self.resource_types}

    @cached_property
    def by_name(self) -> dict[str, ResourceType]:
        """The resource types by name, e.g. `User`."""
        return {one.name: one for one in self.resource_types}

    @cached_property
    def own_types(self) -> tuple[ResourceType, ...]:
        """The resource types that the tenant has defined beside those that every tenant has."""
        kept = {one.name for one in RESOURCE_TYPES}
        return tuple(one for one in self.resource_types if one.name not in kept and not one.is_membership)

    @cached_property
    def schemas(self) -> dict[str, Schema]:
        """Every schema in use by URN in lower case."""
        return {key: schema for one in self.resource_types for key, schema in one.schemas.items()}

    @cached_property
    def with_group_members(self) -> "Registry":
        """The same, with memberships as resources of their own (draft-zollner-scim-group-members)."""
        return Registry((*self.resource_types, GROUP_MEMBER), self.revision)

    @cached_property
    def hidden(self) -> frozenset[str]:
        """The names, in lower case, of attributes whose values nobody may see: write-only, or never returned."""
        return frozenset(name for schema in self.schemas.values() for name in _hidden(schema.attributes))


def _hidden(attributes: tuple[Attribute, ...]) -> set[str]:
    found = {one.key for one in attributes if one.returned == "never" or one.mutability == "writeOnly"}
    return found.union(*(_hidden(one.sub_attributes) for one in attributes))


DISCOVERY = tuple(load_schema(name) for name in ("service_provider_config", "resource_type", "schema"))
"""The schemas of what discovery shows (RFC 7643 section 8.7.2)."""
STANDARD = Registry(RESOURCE_TYPES)
"""What every tenant knows that has defined nothing."""
