"""The oracle: reads the server's view by SCIM and says where it differs from the directory (section 12.8)."""

from dataclasses import dataclass, field
from typing import NamedTuple

from rollhouse.simulator.client import Answer
from rollhouse.simulator.job import Job
from rollhouse.simulator.mapping import Document, desired_group, desired_user, diff_resource, manager_of, member_of
from rollhouse.simulator.primitives import list_page, read_full_group
from rollhouse.simulator.users import OK

PAGE = 100
SHOWN = 5
"""How many ids of a long difference are named."""


class Divergence(NamedTuple):
    """One way in which the server's view differs from the directory after a cycle."""

    cycle: int
    resource: str
    why: str


class UnreachableError(Exception):
    """Nothing answers at the tenant URL."""


@dataclass(slots=True)
class Snapshot:
    """Ids that the server already held before the run."""

    users: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Listing:
    """All resources of a type by id, ids that came on more than one page, and the answer that ended the reading."""

    resources: dict[str, Document] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)
    failure: Answer | None = None


async def list_all(job: Job, request_type: str, path: str) -> Listing:
    """Page through all resources by startIndex, 100 at a time; a failure keeps what came before it."""
    listing = Listing()
    start_index = 1
    while True:
        answer = await list_page(job.client, request_type, path, start_index, PAGE)
        if answer.status != OK or answer.document is None:
            listing.failure = answer
            return listing
        for resource in answer.resources:
            resource_id = str(member_of(resource, "id"))
            if resource_id in listing.resources:
                listing.repeated.append(resource_id)
            listing.resources[resource_id] = resource
        start_index += len(answer.resources)
        total = answer.document.get("totalResults")
        if not answer.resources or not isinstance(total, int) or start_index > total:
            return listing


async def take_snapshot(job: Job) -> Snapshot:
    """The ids on the server now; a server that refuses leaves it empty, because the first probe will tell.

    Raises:
        UnreachableError: there is no server.

    """
    users = await list_all(job, "snapshot_users", "/Users")
    if users.failure is not None and users.failure.status == 0:
        raise UnreachableError(users.failure.detail or users.failure.fault)
    groups = Listing() if users.failure else await list_all(job, "snapshot_groups", "/Groups")
    return Snapshot(set(users.resources), set(groups.resources))


async def compare_server(job: Job, snapshot: Snapshot) -> list[Divergence]:
    """Every difference between the server's view and the directory; empty means converged."""
    differences = await _compare_users(job, snapshot)
    differences += await _compare_groups(job, snapshot)
    return [Divergence(job.cycle, resource, why) for resource, why in differences]


async def _compare_users(job: Job, snapshot: Snapshot) -> list[tuple[str, str]]:
    listing = await list_all(job, "oracle_users", "/Users")
    found = _listing_faults(listing, "Users")
    if listing.failure:
        return found
    for source_id, person in sorted(job.directory.people.items()):
        target_id = job.links.get(source_id)
        if target_id is None:
            if person.active:
                found.append((f"user {source_id}", "was never provisioned"))
            continue
        resource = listing.resources.get(target_id)
        if resource is None:
            found.append((f"user {target_id}", "is not in the list"))
            continue
        for edit in diff_resource(resource, desired_user(person, job.profile)):
            shown = "is absent" if edit.absent else "differs"
            found.append((f"user {target_id}", f"{edit.path} {shown}; wanted {edit.value!r}"))
        found += _compare_manager(job, source_id, target_id, resource)
    known = snapshot.users | set(job.links.values()) | job.abandoned
    return found + [(f"user {key}", "nobody asked for it") for key in _strangers(job, listing, known, "userName")]


def _compare_manager(job: Job, source_id: str, target_id: str, resource: Document) -> list[tuple[str, str]]:
    """The manager of a person in scope, where Entra had a chance to send it."""
    person = job.directory.people[source_id]
    wanted = job.links.get(person.manager_id or "")
    if wanted is None or not person.in_scope or source_id in job.unresolved_managers:
        return []
    shown = manager_of(resource)
    return [] if shown == wanted else [(f"user {target_id}", f"manager is {shown}; wanted {wanted}")]


async def _compare_groups(job: Job, snapshot: Snapshot) -> list[tuple[str, str]]:
    listing = await list_all(job, "oracle_groups", "/Groups")
    found = _listing_faults(listing, "Groups")
    if listing.failure:
        return found
    for source_id, team in sorted(job.directory.teams.items()):
        target_id = job.team_links.get(source_id)
        if target_id is None:
            found.append((f"group {source_id}", "was never provisioned"))
            continue
        answer = await read_full_group(job.client, source_id, target_id)
        if answer.status != OK or answer.document is None:
            found.append((f"group {target_id}", f"cannot be read: {answer.label}"))
            continue
        for edit in diff_resource(answer.document, desired_group(team)):
            found.append((f"group {target_id}", f"{edit.path} differs; wanted {edit.value!r}"))
        wanted = {job.links[member] for member in team.members if member in job.links}
        found += [(f"group {target_id}", why) for why in compare_members(answer.document, wanted, job.abandoned)]
    known = snapshot.groups | set(job.team_links.values())
    return found + [(f"group {key}", "nobody asked for it") for key in _strangers(job, listing, known, "displayName")]


def _strangers(job: Job, listing: Listing, known: set[str], name: str) -> list[str]:
    """Ids that neither the run nor anybody before it accounts for.

    A create that ended in a fault may have worked; when its object then left the scope, nobody comes back for it.
    """
    excused = {text.casefold() for text in job.uncertain.values()}
    return [
        target_id
        for target_id, resource in sorted(listing.resources.items())
        if target_id not in known and str(member_of(resource, name)).casefold() not in excused
    ]


def compare_members(group: Document, wanted: set[str], ignored: set[str]) -> list[str]:
    """How a group's member list differs from the wanted ids; `ignored` ids may be there or not."""
    elements = member_of(group, "members")
    ids = [str(member_of(element, "value")) for element in elements] if isinstance(elements, list) else []
    shown = set(ids)
    differences = []
    if len(ids) != len(shown):
        differences.append(f"{len(ids) - len(shown)} members are listed twice")
    for what, difference in (("missing", wanted - shown - ignored), ("too many", shown - wanted - ignored)):
        if difference:
            names = ", ".join(sorted(difference)[:SHOWN])
            differences.append(f"{len(difference)} of {len(wanted)} members {what}: {names}")
    return differences


def _listing_faults(listing: Listing, name: str) -> list[tuple[str, str]]:
    faults = [(name, f"cannot be listed: {listing.failure.label}")] if listing.failure else []
    return faults + [(name, f"{resource_id} is on two pages") for resource_id in listing.repeated]
