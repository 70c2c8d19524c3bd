"""A stored resource becomes the bytes that a client sees: id and meta spliced in, decoded again only where a projection asks for it."""

from uuid import UUID

import msgspec

from rollhouse.scim.messages import encode
from rollhouse.scim.projection import Projection
from rollhouse.scim.schemas import ResourceType


class Record(msgspec.Struct, frozen=True):
    """A resource as the directory returns it; `relation` is the encoded list of members or groups, None if not read or empty.

    Times are written as `meta` shows them, such as 2026-01-23T04:56:22.000Z. Of what is no row of its own (a membership) they are None, and the id is text.
    """

    id: UUID | str
    document: str
    version: int
    created: str | None
    last_modified: str | None
    relation: str | None = None


def etag(version: int) -> str:
    """The weak entity tag of a version (RFC 7644 section 3.14)."""
    return f'W/"{version}"'


def location(base_url: str, resource_type: ResourceType, resource_id: object) -> str:
    """The resource's URL; `base_url` is the tenant's SCIM URL without a slash at its end."""
    return f"{base_url}/{resource_type.endpoint}/{resource_id}"


def represent(record: Record, resource_type: ResourceType, base_url: str, projection: Projection) -> bytes:
    """The resource as JSON (RFC 7643 section 3), showing what the projection wants."""
    times = f'"created":"{record.created}","lastModified":"{record.last_modified}",' if record.created is not None else ""
    at = location(base_url, resource_type, record.id)
    meta = f'{{"resourceType":"{resource_type.name}",{times}"location":"{at}","version":"W/\\"{record.version}\\""}}'
    relation = f',"{resource_type.relation}":{record.relation}' if record.relation and projection.shows_relation else ""
    whole = f'{{"id":"{record.id}",{record.document[1:-1]}{relation},"meta":{meta}}}'.encode()
    return whole if projection.shows_document_as_stored else encode(projection.apply(msgspec.json.decode(whole)))
