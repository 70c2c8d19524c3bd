"""Attribute mapping: what a person or team should look like at the target, and how that differs from what is there."""

import re
from typing import Any, NamedTuple

from rollhouse.simulator.directory import Person, Team
from rollhouse.simulator.profile import WORK_MAIL, Profile

Document = dict[str, Any]
"""A SCIM resource or message as decoded from JSON."""
Value = str | bool

USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_URN = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
ADSCIM_GROUP_URN = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"
MANAGER_PATH = f"{ENTERPRISE_URN}:manager"

DIRECT_MAPPINGS: tuple[tuple[str, str], ...] = (
    ("displayName", "displayName"),
    ("jobTitle", "title"),
    ("mail", WORK_MAIL),
    ("preferredLanguage", "preferredLanguage"),
    ("givenName", "name.givenName"),
    ("surname", "name.familyName"),
    ("physicalDeliveryOfficeName", 'addresses[type eq "work"].formatted'),
    ("streetAddress", 'addresses[type eq "work"].streetAddress'),
    ("city", 'addresses[type eq "work"].locality'),
    ("state", 'addresses[type eq "work"].region'),
    ("postalCode", 'addresses[type eq "work"].postalCode'),
    ("country", 'addresses[type eq "work"].country'),
    ("telephoneNumber", 'phoneNumbers[type eq "work"].value'),
    ("mobile", 'phoneNumbers[type eq "mobile"].value'),
    ("facsimileTelephoneNumber", 'phoneNumbers[type eq "fax"].value'),
    ("employeeId", f"{ENTERPRISE_URN}:employeeNumber"),
    ("department", f"{ENTERPRISE_URN}:department"),
)
"""Source attribute to target path: the template of a non-gallery application (scim-clients section 3.0)."""

PRIMARY_PATHS = frozenset({("emails", "work"), ("phoneNumbers", "work")})
"""The elements that Entra's POST marks as primary (section 3.3)."""

_FILTERED = re.compile(r'^(?P<attribute>\w+)\[type eq "(?P<type>\w+)"\]\.(?P<sub>\w+)$')


class Edit(NamedTuple):
    """One attribute that has to be written; `absent` says that the target has no value for it now."""

    path: str
    value: Value
    absent: bool


def custom_urn(name: str) -> str:
    """The URN of a tenant-defined extension (section 3.0)."""
    return f"urn:ietf:params:scim:schemas:extension:{name}:2.0:User"


def user_name(person: Person, profile: Profile) -> str:
    """The target userName: a guest's home address, or the tombstone form of a soft-deleted person (section 3.9)."""
    name = person.attributes["userPrincipalName"]
    if profile.strips_guest_suffix and "#EXT#" in name:
        alias, _, home = name.partition("#EXT#")[0].rpartition("_")
        name = f"{alias}@{home}"
    if person.deleted_at_seconds is not None:
        return person.source_id.replace("-", "") + name
    return name


def desired_user(person: Person, profile: Profile) -> dict[str, Value]:
    """Target path to value for everything the mapping yields; null source values are left out (section 3.0)."""
    if not person.in_scope:
        return _desired_leaver(person, profile)
    attributes = person.attributes
    external_id = attributes["mailNickname"] if profile.external_id_source == "mailNickname" else person.source_id
    desired: dict[str, Value] = {
        "userName": user_name(person, profile),
        "active": person.active,
        "externalId": external_id,
        "name.formatted": f"{attributes['givenName']} {attributes['surname']}",
    }
    desired |= {path: attributes[source] for source, path in DIRECT_MAPPINGS if source in attributes}
    if profile.custom_extension is not None and "extensionAttribute1" in attributes:
        desired[f"{custom_urn(profile.custom_extension)}:costBucket"] = attributes["extensionAttribute1"]
    return desired


def _desired_leaver(person: Person, profile: Profile) -> dict[str, Value]:
    """Only `active`, and the tombstone name of who was soft-deleted while assigned."""
    if person.deleted_at_seconds is None or not person.assigned:
        return {"active": False}
    return {"active": False, "userName": user_name(person, profile)}


def desired_group(team: Team) -> dict[str, Value]:
    """Target path to value of a team, without members."""
    return {"displayName": team.display_name, "externalId": team.source_id}


def user_body(person: Person, profile: Profile) -> Document:
    """The POST body of a user: full representation, no manager (section 3.3)."""
    body: Document = {"schemas": [USER_URN, ENTERPRISE_URN]}
    for path, value in desired_user(person, profile).items():
        _place(body, path, value)
    if profile.sends_client_meta:
        body["meta"] = {"resourceType": "User"}
    if profile.sends_empty_roles:
        body["roles"] = []
    if profile.sends_explicit_nulls:
        body = {"addresses": None, "phoneNumbers": None, "title": None, "manager": None} | body
    return body


def group_body(team: Team, profile: Profile) -> Document:
    """The POST body of a group: no members (section 4)."""
    body: Document = {"schemas": [GROUP_URN, ADSCIM_GROUP_URN], **desired_group(team)}
    if profile.sends_client_meta:
        body["meta"] = {"resourceType": "Group"}
    return body


def _place(body: Document, path: str, value: Value) -> None:
    """Put a value where its path says, creating what is missing on the way."""
    filtered = _FILTERED.match(path)
    if filtered:
        elements = body.setdefault(filtered["attribute"], [])
        for element in elements:
            if element["type"] == filtered["type"]:
                element[filtered["sub"]] = value
                return
        primary = (filtered["attribute"], filtered["type"]) in PRIMARY_PATHS
        elements.append({"primary": primary, "type": filtered["type"], filtered["sub"]: value})
    elif path.startswith("urn:"):
        urn, _, attribute = path.rpartition(":")
        body.setdefault(urn, {})[attribute] = value
    elif "." in path:
        attribute, _, sub = path.partition(".")
        body.setdefault(attribute, {})[sub] = value
    else:
        body[path] = value


def member_of(document: object, name: str) -> Any:
    """A member of a JSON object, whatever the letter case of its name; None when there is none."""
    if not isinstance(document, dict):
        return None
    if name in document:
        return document[name]
    folded = name.casefold()
    return next((value for key, value in document.items() if key.casefold() == folded), None)


def read_path(resource: Document, path: str) -> Any:
    """The value at a target path of a resource as the server shows it; None when absent."""
    filtered = _FILTERED.match(path)
    if filtered:
        elements = member_of(resource, filtered["attribute"])
        for element in elements if isinstance(elements, list) else []:
            kind = member_of(element, "type")
            if isinstance(kind, str) and kind.casefold() == filtered["type"]:
                return member_of(element, filtered["sub"])
        return None
    if path.startswith("urn:"):
        urn, _, attribute = path.rpartition(":")
        return member_of(member_of(resource, urn), attribute)
    attribute, _, sub = path.partition(".")
    value = member_of(resource, attribute)
    return member_of(value, sub) if sub else value


def manager_of(resource: Document) -> str | None:
    """The id of a user's manager as the server shows it; a plain string counts as none (sections 0.1 and 6)."""
    value = member_of(read_path(resource, MANAGER_PATH), "value")
    return value if isinstance(value, str) and value else None


def diff_resource(resource: Document, desired: dict[str, Value]) -> list[Edit]:
    """The edits that turn a resource into what is desired, attribute by attribute and letter by letter (section 3.4).

    Whatever the server dropped or reformatted comes back as an edit.
    """
    edits = []
    for path, value in desired.items():
        current = read_path(resource, path)
        if current != value or isinstance(current, bool) is not isinstance(value, bool):
            edits.append(Edit(path, value, current in (None, "")))
    return edits
