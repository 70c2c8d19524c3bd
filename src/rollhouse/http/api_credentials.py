"""The admin API's operations on a tenant's SCIM secrets: list, create, revoke."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from rollhouse.http.api_calls import Call, Outcome
from rollhouse.http.api_operations import operation
from rollhouse.http.problems import API_PATH
from rollhouse.scim.errors import check_characters
from rollhouse.tenancy import credentials
from rollhouse.tenancy.credentials import Credential
from rollhouse.tenancy.operators import check_expiry

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its zone."""
SHOWN_ONCE = "The first answer showed it; it is stored nowhere, so a repeat cannot. If it is lost, revoke it and create another one."


class CredentialView(msgspec.Struct, frozen=True, kw_only=True):
    """A SCIM secret without the secret. `state` is active, expired or revoked; `prefix` names it."""

    id: UUID
    prefix: str
    label: str | None
    state: str
    created: datetime
    created_by: str | None
    expires: datetime | None
    revoked: datetime | None
    last_used: datetime | None


class CredentialList(msgspec.Struct, frozen=True):
    """Every SCIM secret of a tenant, oldest first, revoked ones too."""

    items: list[CredentialView]


class CredentialRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A SCIM secret to create; without `expires` it has no end."""

    label: str | None = None
    expires: Moment | None = None


class NewCredential(msgspec.Struct, frozen=True, omit_defaults=True):
    """A new SCIM secret. `secret` is in the first answer only: a repeat with the same Idempotency-Key has `note` instead."""

    id: UUID
    prefix: str
    secret: str | None = None
    warning: str | None = None
    note: str | None = None


def credential_view(found: Credential) -> CredentialView:
    """The credential as the API shows it."""
    return CredentialView(
        id=found.id,
        prefix=found.prefix,
        label=found.label,
        state=found.state,
        created=found.created,
        created_by=found.created_by,
        expires=found.expires,
        revoked=found.revoked,
        last_used=found.last_used,
    )


@operation("GET", "/tenants/{slug}/credentials", scope="credentials:read", answer=CredentialList)
async def list_credentials(call: Call) -> Outcome:
    """List a tenant's SCIM secrets, never the secrets themselves."""
    found = await credentials.list_secrets(call.database, await call.tenant())
    return Outcome(body=CredentialList([credential_view(one) for one in found]))


@operation(
    "POST",
    "/tenants/{slug}/credentials",
    scope="credentials:write",
    status=201,
    body=CredentialRequest,
    answer=NewCredential,
    example={"label": "Entra, production", "expires": "2099-06-30T00:00:00Z"},
)
async def create_credential(call: Call) -> Outcome:
    """Create a SCIM secret; it is shown this once and stored nowhere."""
    asked = call.body(CredentialRequest)
    check_expiry(asked.expires)
    check_characters(asked.label or "")
    tenant = await call.tenant()
    made = await credentials.create_secret(call.database, call.service.peppers, tenant, cause=call.cause, label=asked.label, expires=asked.expires)
    shown = NewCredential(made.id, made.minted.prefix, made.minted.secret, made.warning)
    location = f"{API_PATH}/tenants/{tenant.slug}/credentials/{made.id}"
    return Outcome(body=shown, kept=msgspec.structs.replace(shown, secret=None, note=SHOWN_ONCE), location=location)


@operation("DELETE", "/tenants/{slug}/credentials/{credential}", scope="credentials:write", answer=CredentialView)
async def revoke_credential(call: Call) -> Outcome:
    """Revoke a SCIM secret: refused everywhere within a second, five at the worst."""
    found = await credentials.revoke_secret(call.database, await call.tenant(), call.path("credential"), cause=call.cause)
    return Outcome(body=credential_view(found))


OPERATIONS = (list_credentials, create_credential, revoke_credential)
