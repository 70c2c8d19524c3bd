"""What a page is sent: the fields of a form, read once, bounded, and believed only with the session's token."""

import asyncio
import hmac
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from litestar import Request

from rollhouse.portal.parts import Portal
from rollhouse.scim.errors import Forbidden, InvalidSyntax, NotFound, PayloadTooLarge, RequestTimeout
from rollhouse.scim.memberships import is_resource_id
from rollhouse.tenancy.sessions import Session

PageRequest = Request[Any, Any, Any]
FORM_BYTES_LIMIT = 64 * 1024
FORM_SECONDS = 10
FIELDS_LIMIT = 50
_STALE = "This page is out of date: its form belongs to another session. Open the page again."


async def read_form(request: PageRequest) -> dict[str, str]:
    """The fields of a form; of a repeated one the last.

    Raises:
        Forbidden: the session's token is missing or another one's (threat T36).
        InvalidSyntax, PayloadTooLarge, RequestTimeout: it cannot be read.
    """
    try:
        async with asyncio.timeout(FORM_SECONDS):
            body = await request.body()
    except TimeoutError:
        raise RequestTimeout("The form did not arrive in time; send it again.") from None
    if len(body) > FORM_BYTES_LIMIT:
        raise PayloadTooLarge("The form is larger than 64 KiB.")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_LIMIT)
    except (UnicodeDecodeError, ValueError):
        raise InvalidSyntax("The form cannot be read.") from None
    form = dict(pairs)
    session: Session | None = request.scope["state"].get("session")
    if session is not None and not hmac.compare_digest(form.pop("csrf", "").encode(), session.csrf.encode()):
        raise Forbidden(_STALE)
    return form


def portal_of(request: PageRequest) -> Portal:
    """What the pages stand on, as the composition root handed it in."""
    found: Portal = request.app.state["portal"]
    return found


def parameter(request: PageRequest, name: str, limit: int = 200) -> str:
    """A parameter of the URL's query, cut; "" without it.

    Raises:
        InvalidSyntax: the query is not UTF-8.
    """
    try:
        query = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_LIMIT)
    except ValueError:
        raise InvalidSyntax("The query of the URL cannot be read.") from None
    return dict(query).get(name, "")[:limit].replace("\0", "")


def id_in(text: str) -> UUID:
    """An id of the path or a form.

    Raises:
        NotFound: it is none.
    """
    if not is_resource_id(text):
        raise NotFound("There is nothing under this address.")
    return UUID(text)


def position(request: PageRequest, name: str) -> UUID | None:
    """An id of the URL's query behind which a page begins, None without one."""
    text = parameter(request, name)
    return UUID(text) if is_resource_id(text) else None
