"""The admin API's operations on operators' keys: list, create, revoke."""

from datetime import datetime
from uuid import UUID

import msgspec

from rollhouse.http.api_calls import Call, Outcome
from rollhouse.http.api_credentials import SHOWN_ONCE, Moment
from rollhouse.http.api_operations import next_of, operation, paged
from rollhouse.http.problems import API_PATH
from rollhouse.tenancy import operators
from rollhouse.tenancy.operators import OperatorKey


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's key without the key. `state` is active, expired or revoked; `prefix` names it."""

    id: UUID
    prefix: str
    label: str | None
    scopes: list[str]
    state: str
    created: datetime
    created_by: str | None
    expires: datetime | None
    revoked: datetime | None
    last_used: datetime | None


class KeyPage(msgspec.Struct, frozen=True):
    """Operators' keys, oldest first; `next` is null on the last page."""

    items: list[KeyView]
    next: str | None


class KeyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An operator's key to create; it can have those scopes only that the key has which asks for it."""

    scopes: list[str]
    label: str | None = None
    expires: Moment | None = None


class NewOperatorKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """A new operator's key. `key` is in the first answer only: a repeat with the same Idempotency-Key has `note` instead."""

    id: UUID
    prefix: str
    scopes: list[str]
    key: str | None = None
    note: str | None = None


def key_view(found: OperatorKey) -> KeyView:
    """The key as the API shows it."""
    return KeyView(
        id=found.id,
        prefix=found.prefix,
        label=found.label,
        scopes=found.scopes,
        state=found.state,
        created=found.created,
        created_by=found.created_by,
        expires=found.expires,
        revoked=found.revoked,
        last_used=found.last_used,
    )


@operation("GET", "/keys", scope="keys:write", answer=KeyPage, query=paged("id", "01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff"))
async def list_keys(call: Call) -> Outcome:
    """List operators' keys, never the keys themselves."""
    limit = call.limit
    found = await operators.list_keys(call.database, after=call.after_id, limit=limit)
    return Outcome(body=KeyPage([key_view(one) for one in found], next_of([str(one.id) for one in found], limit)))


@operation(
    "POST",
    "/keys",
    scope="keys:write",
    status=201,
    body=KeyRequest,
    answer=NewOperatorKey,
    example={"scopes": ["keys:write"], "label": "rotation", "expires": "2099-06-30T00:00:00Z"},
)
async def create_key(call: Call) -> Outcome:
    """Create an operator's key; it is shown this once and stored nowhere."""
    asked = call.body(KeyRequest)
    for scope in operators.check_scopes(asked.scopes):
        call.operator.require(scope)  # a key hands on what it has, never more (threat T28)
    operators.check_expiry(asked.expires)
    call.operator.require_end(asked.expires)
    made = await operators.create_key(call.database, call.service.peppers, scopes=asked.scopes, label=asked.label, expires=asked.expires, cause=call.cause)
    shown = NewOperatorKey(made.key.id, made.key.prefix, made.key.scopes, made.minted.secret)
    return Outcome(body=shown, kept=msgspec.structs.replace(shown, key=None, note=SHOWN_ONCE), location=f"{API_PATH}/keys/{made.key.id}")


@operation("DELETE", "/keys/{key}", scope="keys:write", answer=KeyView)
async def revoke_key(call: Call) -> Outcome:
    """Revoke an operator's key: the next request that carries it is refused."""
    return Outcome(body=key_view(await operators.revoke_key(call.database, call.path("key"), cause=call.cause)))


OPERATIONS = (list_keys, create_key, revoke_key)
