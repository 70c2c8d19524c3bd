"""What a failed request means for people, and what to do about it in the identity provider.

The texts are message ids of the catalogues of the portal: `portal/locale`.
"""

import msgspec


class Explanation(msgspec.Struct, frozen=True):
    """A headline, what happened, and what to do."""

    title: str
    meaning: str
    cure: str


_WRONG_SECRET = "Wrong secret"  # noqa: S105 - a headline
_REFUSED = {
    "missing": Explanation(
        "No secret",
        "The request reached us without a secret.",
        "In Entra ID open Provisioning, paste the secret into Secret token, and test the connection again.",
    ),
    "format": Explanation(
        _WRONG_SECRET,
        "What was sent as the secret is none of ours: ours begin with scimsk_ and have 69 characters.",
        "Copy the whole secret once more, without quotation marks. If it is lost, generate a new one.",
    ),
    "mistyped": Explanation(
        _WRONG_SECRET,
        "The secret has the right form, but a character is wrong or missing: its checksum does not fit.",
        "Copy it with the copy button rather than by hand.",
    ),
    "unknown": Explanation(
        _WRONG_SECRET,
        "The secret is well formed, but no such secret exists here.",
        "Was it made in another environment? Generate a new one on the connection page.",
    ),
    "revoked": Explanation("Revoked secret", "This secret was revoked.", "Paste the current secret into the identity provider."),
    "expired": Explanation("Expired secret", "This secret has expired.", "Generate a new one and paste it into the identity provider."),
    "other_connection": Explanation(
        "Secret of another connection",
        "The secret is a valid one, but belongs to another connection than the URL.",
        "Take the Tenant URL and the secret from the same page.",
    ),
    "wrong": Explanation(_WRONG_SECRET, "The secret is not the one that we gave out under this name.", "Generate a new one and revoke this one."),
}
_BY_TYPE = {
    "uniqueness": Explanation(
        "Already taken",
        "Another user or group has this name, and names must be unique.",
        "Look the name up on the Users page. Often the person was created by hand before: let both have the same user name, and Entra ID adopts the record.",
    ),
    "invalidFilter": Explanation(
        "Filter not understood", "The search in the request could not be read.", "Set the matching attribute to userName or externalId."
    ),
    "invalidPath": Explanation(
        "Attribute not found", "The change names an attribute path that does not exist.", "Compare the attribute mapping with our list."
    ),
    "invalidValue": Explanation(
        "Value refused", "A value is missing or does not fit its attribute.", "Mend the value at its source, or take the attribute out of the mapping."
    ),
    "invalidSyntax": Explanation("Body not understood", "The body was not JSON that we could read.", "If it comes again, copy the details for support."),
    "mutability": Explanation("Read-only attribute", "The change touches an attribute that cannot be changed.", "Take the attribute out of the mapping."),
    "noTarget": Explanation(
        "Nothing to change", "The change names a value that is not there.", "Provision the user on demand, so that both sides agree again."
    ),
    "tooMany": Explanation("Too much at once", "The request asks for more than one request may.", "Ask for less in one request."),
}
_BY_STATUS = {
    403: Explanation("Suspended", "Provisioning of this connection is suspended.", "Ask the operator of this service to resume it."),
    404: Explanation(
        "Not found",
        "There is nothing under this address.",
        "Check that the Tenant URL ends with /scim/v2. If only one user or group is named, it was deleted here: provision it on demand.",
    ),
    405: Explanation("Method not known", "The address exists, but not this method.", "Check that the Tenant URL ends with /scim/v2."),
    408: Explanation("Too slow", "The body did not arrive in time.", "Nothing to do: the identity provider tries again."),
    409: Explanation("Conflict", "The request does not fit the present state.", "Provision the user on demand."),
    412: Explanation("Changed meanwhile", "Somebody else changed the resource first.", "Nothing to do: the identity provider reads it again."),
    413: Explanation("Too large", "The body is larger than we take.", "Send fewer members in one request."),
    429: Explanation(
        "Too fast",
        "The connection is over its limit of requests.",
        "Nothing to do: the identity provider waits and goes on. If it comes often, ask for a higher limit.",
    ),
    503: Explanation("Not available", "We could not do it for the moment.", "Nothing to do: the identity provider tries again."),
}
_OTHER = Explanation("Failed", "The request failed.", "Copy the details for support.")


def explain(status: int, scim_type: str | None, reason: str | None) -> Explanation:
    """The words for a request that failed with this status, scimType and reason."""
    return _REFUSED.get(reason or "") or _BY_TYPE.get(scim_type or "") or _BY_STATUS.get(status, _OTHER)
