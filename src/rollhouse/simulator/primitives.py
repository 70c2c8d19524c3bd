"""The named requests of Entra's engine, each with its URL, body and expected answer (section 12.2)."""

import uuid
from collections.abc import Sequence

from rollhouse.simulator.checks import check_list, check_location, check_resource, check_round_trip
from rollhouse.simulator.client import REFUSALS, Answer, Call, Check, Sender
from rollhouse.simulator.dialects import add_members_patch, edits_patch, manager_patch, remove_members_patch
from rollhouse.simulator.directory import Person, Team
from rollhouse.simulator.mapping import Document, Edit, desired_group, desired_user, group_body, member_of, user_body
from rollhouse.simulator.profile import Dialect

QUERY_STATUSES = REFUSALS | {200}
READ_STATUSES = REFUSALS | {200, 404}
CREATE_STATUSES = REFUSALS | {200, 201, 409}
PATCH_STATUSES = REFUSALS | {200, 204, 404, 409}
DELETE_STATUSES = REFUSALS | {204, 404}
CREATED = 201

EXCLUDED_MEMBERS = ("excludedAttributes", "members")
Query = tuple[tuple[str, str], ...]


def equals_filter(attribute: str, value: str) -> str:
    """An `eq` filter with a quoted value; quotes inside the value are not escaped, as in reality (section 2)."""
    return f'{attribute} eq "{value}"'


async def probe_user(client: Sender, guid: uuid.UUID) -> Answer:
    """Ask for a user that cannot exist: the connection test before every cycle (section 3.1)."""
    query = (("filter", equals_filter(client.profile.user_match, str(guid))),)
    return await _query(client, "probe_user", "/Users", query, subject="", check=_empty_user_list)


async def probe_group(client: Sender, guid: uuid.UUID) -> Answer:
    """Ask for a group that cannot exist (section 3.1)."""
    query = (EXCLUDED_MEMBERS, ("filter", equals_filter(client.profile.group_match, str(guid))))
    return await _query(client, "probe_group", "/Groups", query, subject="", check=_group_list)


async def match_user(client: Sender, person: Person) -> Answer:
    """Look for a user by the matching attribute (section 3.2)."""
    value = desired_user(person, client.profile)[client.profile.user_match]
    query = (("filter", equals_filter(client.profile.user_match, str(value))),)
    return await _query(client, "match_user", "/Users", query, subject=person.source_id, check=_user_list)


async def match_group(client: Sender, team: Team) -> Answer:
    """Look for a group by the matching attribute, without members (section 4)."""
    value = desired_group(team)[client.profile.group_match]
    query = (EXCLUDED_MEMBERS, ("filter", equals_filter(client.profile.group_match, str(value))))
    return await _query(client, "match_group", "/Groups", query, subject=team.source_id, check=_group_list)


async def check_reference(client: Sender, request_type: str, owner_id: str, attribute: str, value: str) -> Answer:
    """Ask whether a reference is there already; the ids are bare words (sections 3.8 and 4)."""
    path = "/Groups" if attribute == "members" else "/Users"
    query = (("filter", f"id eq {owner_id} and {attribute} eq {value}"), ("attributes", "id"))
    return await _query(client, request_type, path, query, subject=owner_id, check=_minimal_list)


async def read_user(client: Sender, source_id: str, target_id: str) -> Answer:
    """Read a linked user before an update (section 3.4)."""
    return await _read(client, "read_user", f"/Users/{target_id}", (), subject=source_id, check=_user(target_id))


async def read_group(client: Sender, source_id: str, target_id: str) -> Answer:
    """Read a linked group, always without its members (section 4)."""
    path, check = f"/Groups/{target_id}", _group(target_id)
    return await _read(client, "read_group", path, (EXCLUDED_MEMBERS,), subject=source_id, check=check)


async def create_user(client: Sender, person: Person) -> Answer:
    """Create a user with the full representation (section 3.3)."""
    body = user_body(person, client.profile)
    return await _create(client, "create_user", "/Users", resource_type="User", body=body, subject=person.source_id)


async def plant_user(client: Sender, subject: str, body: Document) -> Answer:
    """Create a user as another tool did before the job existed: brownfield's past (section 12.7)."""
    return await _create(client, "plant_user", "/Users", resource_type="User", body=body, subject=subject)


async def create_group(client: Sender, team: Team) -> Answer:
    """Create a group without members (section 4)."""
    body = group_body(team, client.profile)
    return await _create(client, "create_group", "/Groups", resource_type="Group", body=body, subject=team.source_id)


async def patch_user(client: Sender, request_type: str, source_id: str, target_id: str, edits: Sequence[Edit], *, dialect: Dialect) -> Answer:
    """Write the edits of a user; the request type says what they amount to (sections 3.5, 3.6, 3.9)."""
    body = edits_patch(edits, dialect)
    return await _patch(client, request_type, f"/Users/{target_id}", body=body, subject=source_id, check=_user(target_id))


async def set_manager(client: Sender, source_id: str, target_id: str, manager_id: str, *, dialect: Dialect, absent: bool) -> Answer:
    """Write a user's manager as a plain string (section 3.8)."""
    body = manager_patch(manager_id, dialect, absent=absent)
    return await _patch(client, "set_manager", f"/Users/{target_id}", body=body, subject=source_id, check=_user(target_id))


async def patch_group(client: Sender, source_id: str, target_id: str, edits: Sequence[Edit], *, dialect: Dialect) -> Answer:
    """Rename a group or correct its externalId (section 4)."""
    body = edits_patch(edits, dialect)
    return await _patch(client, "patch_group", f"/Groups/{target_id}", body=body, subject=source_id, check=_group(target_id))


async def add_members(client: Sender, source_id: str, target_id: str, member_ids: Sequence[str], *, dialect: Dialect) -> Answer:
    """Add members to a group (section 4)."""
    body = add_members_patch(member_ids, dialect)
    subject = f"{source_id}:{member_ids[0]}"
    return await _patch(client, "add_members", f"/Groups/{target_id}", body=body, subject=subject, check=_group(target_id))


async def remove_members(client: Sender, source_id: str, target_id: str, member_ids: Sequence[str], *, dialect: Dialect) -> Answer:
    """Remove members from a group, in the dialect's form (section 4)."""
    body = remove_members_patch(member_ids, dialect)
    subject = f"{source_id}:{member_ids[0]}"
    return await _patch(client, "remove_members", f"/Groups/{target_id}", body=body, subject=subject, check=_group(target_id))


async def delete_user(client: Sender, source_id: str, target_id: str) -> Answer:
    """Delete a user who was purged from the bin (section 3.9)."""
    return await _delete(client, "delete_user", f"/Users/{target_id}", source_id)


async def delete_group(client: Sender, source_id: str, target_id: str) -> Answer:
    """Delete a group that is no longer assigned (section 4)."""
    return await _delete(client, "delete_group", f"/Groups/{target_id}", source_id)


async def list_page(client: Sender, request_type: str, path: str, start_index: int, count: int) -> Answer:
    """One page of all resources; groups come without members (section 12.8)."""
    query: Query = (("startIndex", str(start_index)), ("count", str(count)))
    resource_type = "User" if path == "/Users" else "Group"
    if resource_type == "Group":
        query = (EXCLUDED_MEMBERS, *query)

    def check(document: Document, _: Answer) -> list[str]:
        excluded = resource_type == "Group"
        return check_list(document, resource_type, start_index=start_index, paged=True, members_excluded=excluded)

    return await _query(client, request_type, path, query, subject=str(start_index), check=check)


async def read_full_group(client: Sender, source_id: str, target_id: str) -> Answer:
    """A group with its members: never asked by Entra, only by the oracle (section 12.8)."""

    def check(document: Document, _: Answer) -> list[str]:
        return check_resource(document, "Group") + _check_id(document, target_id)

    return await _read(client, "oracle_group", f"/Groups/{target_id}", (), subject=source_id, check=check)


async def _query(client: Sender, request_type: str, path: str, query: Query, *, subject: str, check: Check) -> Answer:
    return await client.send(
        Call(
            request_type=request_type,
            method="GET",
            path=path,
            query=query,
            subject=subject,
            allowed=QUERY_STATUSES,
            check=check,
        )
    )


async def _read(client: Sender, request_type: str, path: str, query: Query, *, subject: str, check: Check) -> Answer:
    return await client.send(
        Call(
            request_type=request_type,
            method="GET",
            path=path,
            query=query,
            subject=subject,
            allowed=READ_STATUSES,
            check=check,
        )
    )


async def _create(client: Sender, request_type: str, path: str, *, resource_type: str, body: Document, subject: str) -> Answer:
    def check(document: Document, answer: Answer) -> list[str]:
        violations = check_resource(document, resource_type) + check_round_trip(document, body)
        return violations + (check_location(answer.location, document) if answer.status == CREATED else [])

    return await client.send(
        Call(
            request_type=request_type,
            method="POST",
            path=path,
            body=body,
            subject=subject,
            allowed=CREATE_STATUSES,
            check=check,
        )
    )


async def _patch(client: Sender, request_type: str, path: str, *, body: Document, subject: str, check: Check) -> Answer:
    return await client.send(
        Call(
            request_type=request_type,
            method="PATCH",
            path=path,
            body=body,
            subject=subject,
            allowed=PATCH_STATUSES,
            check=check,
        )
    )


async def _delete(client: Sender, request_type: str, path: str, subject: str) -> Answer:
    return await client.send(Call(request_type=request_type, method="DELETE", path=path, subject=subject, allowed=DELETE_STATUSES))


def _check_id(document: Document, target_id: str) -> list[str]:
    return [] if member_of(document, "id") == target_id else ["the answer shows another id than the one asked for"]


def _user(target_id: str) -> Check:
    return lambda document, _: check_resource(document, "User") + _check_id(document, target_id)


def _group(target_id: str) -> Check:
    """Groups never come with members on these requests: excluded on reads, unwanted after PATCH (section 6)."""
    return lambda document, _: check_resource(document, "Group", members_excluded=True) + _check_id(document, target_id)


def _user_list(document: Document, _: Answer) -> list[str]:
    return check_list(document, "User")


def _empty_user_list(document: Document, _: Answer) -> list[str]:
    violations = check_list(document, "User")
    return violations + ([] if document.get("totalResults") == 0 else ["a random GUID matched somebody"])


def _group_list(document: Document, _: Answer) -> list[str]:
    return check_list(document, "Group", members_excluded=True)


def _minimal_list(document: Document, _: Answer) -> list[str]:
    return check_list(document, "User", minimal=True)
