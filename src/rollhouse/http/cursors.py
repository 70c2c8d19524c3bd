"""Cursors (RFC 9865): where a crawl stands, sealed so that only this service reads it, and only for the tenant and the query that it was given for."""

import base64
import binascii
import hashlib
import time

import msgspec

from rollhouse.directory.queries import Position
from rollhouse.scim.errors import ExpiredCursor, InvalidCursor
from rollhouse.tenancy.secrets import Peppers

CURSOR_SECONDS = 3600
"""How long a cursor is good for."""
CURSOR_LIMIT = 4096
"""Characters of a cursor that are looked at; the longest holds a sort value of a few hundred."""


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The page that comes next: of which resource type (its place in the registry), behind what, and what the first page said of count and total.

    A crawl that begins has a total of -1. `expires` is in seconds since 1970, by the clock of the process that seals it.
    """

    place: int
    after: Position | None
    count: int
    total: int
    expires: float = 0.0


def seal(peppers: Peppers, about: bytes, cursor: Cursor) -> str:
    """The cursor as text of unreserved characters, which opens for an hour, and for the same `about` alone."""
    cursor = msgspec.structs.replace(cursor, expires=time.time() + CURSOR_SECONDS)
    return base64.urlsafe_b64encode(peppers.seal_bytes(msgspec.msgpack.encode(cursor), about)).decode().rstrip("=")


def unseal(peppers: Peppers, about: bytes, text: str) -> Cursor:
    """The cursor in a text.

    Raises:
        InvalidCursor: it is not ours, or of another tenant or query.
        ExpiredCursor: it is more than an hour old.
    """
    try:
        sealed = base64.urlsafe_b64decode(text[:CURSOR_LIMIT] + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        sealed = b""
    opened = peppers.unseal_bytes(sealed, about)
    if opened is None:
        raise InvalidCursor(
            "The cursor belongs to another query, or is none of ours. Send the nextCursor of the last page with the same query, or begin with an empty one."
        )
    cursor = msgspec.msgpack.decode(opened, type=Cursor)
    if cursor.expires < time.time():
        raise ExpiredCursor(f"The cursor is older than {CURSOR_SECONDS} seconds. Begin again with an empty one.")
    return cursor


def about(tenant_id: object, *query: str) -> bytes:
    """What a cursor is bound to: the tenant, and what decides which resources are listed and in which order."""
    return hashlib.sha256(msgspec.msgpack.encode([str(tenant_id), *query])).digest()
