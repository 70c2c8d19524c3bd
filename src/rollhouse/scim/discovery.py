"""ServiceProviderConfig, ResourceTypes and Schemas (RFC 7643 sections 5 to 7, RFC 7644 section 4) as plain values."""

from typing import Any

import msgspec

from rollhouse.scim.schemas import ResourceType, Schema

_SPC_URN = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
_RESOURCE_TYPE_URN = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
_SCHEMA_URN = "urn:ietf:params:scim:schemas:core:2.0:Schema"


class Limits(msgspec.Struct, frozen=True):
    """What a service takes and gives at most in one request, and how long a cursor is good for."""

    page_size: int
    page_size_default: int
    bulk_operations: int
    bulk_bytes: int
    cursor_seconds: int


def service_provider_config(base_url: str, limits: Limits) -> dict[str, Any]:
    """What this service can do (RFC 7643 section 5, RFC 9865 section 4); `maxOperations` also tells authentik how many operations a PATCH may have."""
    return {
        "schemas": [_SPC_URN],
        "patch": {"supported": True},
        "bulk": {"supported": True, "maxOperations": limits.bulk_operations, "maxPayloadSize": limits.bulk_bytes},
        "filter": {"supported": True, "maxResults": limits.page_size},
        "changePassword": {"supported": False},
        "sort": {"supported": True},
        "etag": {"supported": True},
        "pagination": {
            "cursor": True,
            "index": True,
            "defaultPaginationMethod": "index",
            "defaultPageSize": limits.page_size_default,
            "maxPageSize": limits.page_size,
            "cursorTimeout": limits.cursor_seconds,
        },
        "authenticationSchemes": [
            {
                "type": "oauthbearertoken",
                "name": "SCIM secret",
                "description": "The tenant's SCIM secret as a bearer token",
                "specUri": "https://www.rfc-editor.org/info/rfc6750",
                "primary": True,
            },
            {
                "type": "oauth2",
                "name": "OAuth 2.0 client credentials",
                "description": "An access token of the tenant's own token endpoint as a bearer token",
                "specUri": "https://www.rfc-editor.org/info/rfc6749",
                "primary": False,
            },
        ],
        "meta": {"resourceType": "ServiceProviderConfig", "location": f"{base_url}/ServiceProviderConfig"},
    }


def describe_resource_type(base_url: str, resource_type: ResourceType) -> dict[str, Any]:
    """One entry of /ResourceTypes (RFC 7643 section 6)."""
    extensions = [{"schema": schema.id, "required": schema.id.lower() in resource_type.required_extensions} for schema in resource_type.extensions]
    return {
        "schemas": [_RESOURCE_TYPE_URN],
        "id": resource_type.name,
        "name": resource_type.name,
        "description": resource_type.description,
        "endpoint": f"/{resource_type.endpoint}",
        "schema": resource_type.schema.id,
        **({"schemaExtensions": extensions} if extensions else {}),
        "meta": {"resourceType": "ResourceType", "location": f"{base_url}/ResourceTypes/{resource_type.name}"},
    }


def describe_schema(base_url: str, schema: Schema) -> dict[str, Any]:
    """One entry of /Schemas (RFC 7643 section 7)."""
    return {
        "schemas": [_SCHEMA_URN],
        "id": schema.id,
        "name": schema.name,
        "description": schema.description,
        "attributes": [attribute.describe() for attribute in schema.attributes],
        "meta": {"resourceType": "Schema", "location": f"{base_url}/Schemas/{schema.id}"},
    }
