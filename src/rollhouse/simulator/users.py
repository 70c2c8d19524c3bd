"""What the engine does with one user: match, create, update, disable, delete, set the manager (section 12.3)."""

from rollhouse.simulator.client import Answer
from rollhouse.simulator.directory import Person
from rollhouse.simulator.job import HeldKey, Job
from rollhouse.simulator.mapping import Document, Edit, desired_user, diff_resource, manager_of, user_name
from rollhouse.simulator.primitives import (
    check_reference,
    create_user,
    delete_user,
    match_user,
    patch_user,
    read_user,
    set_manager,
)
from rollhouse.simulator.profile import Dialect

OK, NOT_FOUND, CONFLICT = 200, 404, 409


async def sync_user(job: Job, source_id: str, dialect: Dialect | None = None) -> None:
    """Bring one person to the target: read and patch a linked user, match or create the others."""
    person = job.directory.people.get(source_id)
    if person is None:
        job.escrow.pop(HeldKey("user", source_id), None)
        return
    target_id = job.links.get(source_id)
    if target_id is None:
        await _match_or_create(job, person, dialect or job.dialect)
        return
    answer = await read_user(job.client, source_id, target_id)
    if answer.status == OK and answer.document is not None:
        await _update(job, person, answer.document, dialect or job.dialect)
    elif answer.status == NOT_FOUND:
        del job.links[source_id]
        await _match_or_create(job, person, dialect or job.dialect)
    else:
        job.fail(HeldKey("user", source_id), answer)


async def _match_or_create(job: Job, person: Person, dialect: Dialect) -> None:
    """Link the one match, create when there is none and the person is active (disabled users are never created)."""
    key = HeldKey("user", person.source_id)
    if not person.in_scope:
        job.escrow.pop(key, None)
        return
    if await _link_match(job, person, dialect):
        return
    if not person.active:
        job.succeed(key)
        return
    answer = await create_user(job.client, person)
    created_id = answer.document.get("id") if answer.document else None
    if answer.ok and isinstance(created_id, str) and created_id:
        job.link_user(person.source_id, created_id, None)
        job.succeed(key)
    elif answer.status == CONFLICT:
        if not await _link_match(job, person, dialect):
            job.fail(key, answer, "Conflict")
    else:
        if answer.faulty:
            job.uncertain[person.source_id] = user_name(person, job.profile)
        job.fail(key, answer, "ServiceIncompatible" if answer.ok else "")


async def _link_match(job: Job, person: Person, dialect: Dialect) -> bool:
    """Whether matching settled the person: linked and updated, or failed; False when there is no hit."""
    key = HeldKey("user", person.source_id)
    answer = await match_user(job.client, person)
    hits = answer.resources
    if answer.status != OK:
        job.fail(key, answer)
        return True
    if len(hits) > 1:
        job.fail(key, answer, "DuplicateTargetEntries")
        return True
    if not hits:
        return False
    target_id = hits[0].get("id")
    if not isinstance(target_id, str):
        job.fail(key, answer, "ServiceIncompatible")
        return True
    job.link_user(person.source_id, target_id, manager_of(hits[0]))
    await _update(job, person, hits[0], dialect)
    return True


async def _update(job: Job, person: Person, resource: Document, dialect: Dialect) -> None:
    """Patch what differs from the desired representation, and nothing when nothing differs (section 3.4)."""
    key = HeldKey("user", person.source_id)
    job.shown_managers[person.source_id] = manager_of(resource)
    edits = diff_resource(resource, desired_user(person, job.profile))
    if not edits:
        job.succeed(key)
        return
    target_id = job.links[person.source_id]
    request_type = name_update(person, edits)
    answer = await patch_user(job.client, request_type, person.source_id, target_id, edits, dialect=dialect)
    if answer.ok:
        job.succeed(key)
        return
    if answer.status == NOT_FOUND:
        job.links.pop(person.source_id, None)
    job.fail(key, answer)


def name_update(person: Person, edits: list[Edit]) -> str:
    """The request type of an update, after what it does to the account."""
    values = {edit.path: edit.value for edit in edits}
    if values.get("active") is False:
        return "tombstone_user" if "userName" in values and not person.in_scope else "disable_user"
    if values.get("active") is True:
        return "enable_user"
    return "patch_user"


async def remove_user(job: Job, source_id: str, target_id: str) -> None:
    """Delete a purged user; one that is gone already is fine (section 3.9)."""
    answer = await delete_user(job.client, source_id, target_id)
    key = HeldKey("deletion", source_id)
    if answer.ok or answer.status == NOT_FOUND:
        job.links.pop(source_id, None)
        job.succeed(key)
    else:
        job.fail(key, answer)


async def sync_manager(job: Job, source_id: str, *, changed: bool) -> None:
    """Send a person's manager when the server shows another one; `changed` says that the source changed it."""
    person = job.directory.people.get(source_id)
    key = HeldKey("manager", source_id)
    target_id = job.links.get(source_id)
    if person is None or not person.in_scope or person.manager_id is None or target_id is None:
        job.escrow.pop(key, None)
        return
    if source_id in job.unresolved_managers and not changed:
        return
    manager_id = job.links.get(person.manager_id)
    if manager_id is None:
        job.unresolved_managers.add(source_id)
        job.escrow.pop(key, None)
        return
    job.unresolved_managers.discard(source_id)
    shown = job.shown_managers.get(source_id)
    if shown == manager_id or await _manager_is_there(job, source_id, target_id, manager_id):
        job.succeed(key)
        return
    answer = await set_manager(job.client, source_id, target_id, manager_id, dialect=job.dialect, absent=shown is None)
    if answer.ok:
        job.shown_managers[source_id] = manager_id
        job.succeed(key)
    else:
        job.fail(key, answer)


async def _manager_is_there(job: Job, source_id: str, target_id: str, manager_id: str) -> bool:
    """For a share of the writes, ask first (sections 3.8 and 12.1)."""
    chance = job.profile.draw("reference_check", job.cycle, source_id)
    if chance.random() >= job.profile.reference_check_share:
        return False
    answer: Answer = await check_reference(job.client, "reference_check", target_id, "manager", manager_id)
    return answer.status == OK and len(answer.resources) == 1
