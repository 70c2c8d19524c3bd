"""Whole cycles: initial, incremental and on-demand, in the order of scim-clients sections 12.3 to 12.5."""

import uuid
from collections.abc import Iterable

from rollhouse.simulator.client import Answer
from rollhouse.simulator.directory import Change
from rollhouse.simulator.generation import source_guid
from rollhouse.simulator.groups import Batch, batch_memberships, remove_team, sync_team, write_batch
from rollhouse.simulator.job import HeldKey, Job
from rollhouse.simulator.primitives import probe_group, probe_user
from rollhouse.simulator.users import OK, remove_user, sync_manager, sync_user

CHUNK = 100
"""People per page of the directory in an initial cycle."""
ON_DEMAND_MEMBERS = 5
"""Members that an on-demand run of a group takes along (section 7)."""


async def probe(job: Job, *, groups: bool = True, subject: str = "cycle") -> bool:
    """Test the connection with fresh GUIDs; anything but 200 quarantines the job (section 12.3)."""
    chance = job.profile.draw("probe", subject, job.cycle)
    answer = await probe_user(job.client, uuid.UUID(source_guid(chance)))
    if answer.status == OK and groups:
        answer = await probe_group(job.client, uuid.UUID(source_guid(chance)))
    if answer.status != OK:
        job.quarantine(f"the connection test ended with {describe_answer(answer)}")
    return not job.stopped


def describe_answer(answer: Answer) -> str:
    """A status or a fault, in words."""
    return f"status {answer.status}" if answer.status else f"no answer ({answer.fault})"


async def run_initial_cycle(job: Job) -> None:
    """Evaluate everything: users in chunks, then managers, groups and all memberships (section 12.3)."""
    job.begin_cycle()
    watermark = job.directory.watermark
    if not await probe(job):
        return
    job.unresolved_managers.clear()
    people = sorted(job.directory.people)
    job.profile.draw("source_order", job.cycle).shuffle(people)
    job.progress.begin(f"cycle {job.cycle} initial: users", len(people))
    for at in range(0, len(people), CHUNK):
        await job.in_parallel(people[at : at + CHUNK], job.profile.user_workers, lambda key: sync_user(job, key))
    await _sync_managers(job, dict.fromkeys(people, True))
    teams = sorted(job.directory.teams)
    job.progress.begin(f"cycle {job.cycle} initial: groups", len(teams))
    await job.in_parallel(teams, job.profile.group_workers, lambda key: sync_team(job, key))
    pairs = [(key, member) for key in teams for member in job.directory.teams[key].members]
    await _write_memberships(job, pairs)
    if not job.stopped:
        job.watermark = watermark


async def run_incremental_cycle(job: Job) -> None:
    """Evaluate what is due in escrow and what changed since the last cycle (section 12.4)."""
    since = job.begin_cycle()
    watermark = job.directory.watermark
    if not await probe(job):
        return
    changes = job.directory.changes_since(since)
    if _too_many_removals(job, changes):
        return
    due = job.due_entries()
    people = _ordered([_keys(due, "user"), _changed(changes, "person")])
    job.progress.begin(f"cycle {job.cycle} incremental: users", len(people))
    await job.in_parallel(people, job.profile.user_workers, lambda key: sync_user(job, key))
    await _delete_users(job, changes, due)
    moved = dict.fromkeys(_changed(changes, "manager") + _keys(due, "manager") + list(job.fresh_users), True)
    await _sync_managers(job, dict.fromkeys(people, False) | moved)
    await _sync_teams(job, changes, due)
    pairs = [(change.source_id, change.member_id) for change in changes if change.kind == "membership"]
    pairs += [(key.source_id, key.member_id) for key in due if key.kind == "membership"]
    pairs += [(team.source_id, key) for key in job.fresh_users for team in job.directory.teams_of(key)]
    for key in job.fresh_teams:
        pairs += [(key, member) for member in job.directory.teams[key].members]
    await _write_memberships(job, pairs)
    if not job.stopped:
        job.watermark = watermark


async def provision_user_on_demand(job: Job, source_id: str) -> None:
    """Provision one user at once: probe, match, create or patch, in the legacy dialect (section 12.5)."""
    if await probe(job, groups=False, subject=source_id):
        await sync_user(job, source_id, "legacy")


async def provision_group_on_demand(job: Job, source_id: str) -> None:
    """Provision one group with at most five members, in the legacy dialect (section 12.5)."""
    if not await probe(job, subject=source_id):
        return
    await sync_team(job, source_id, "legacy")
    linked = [member for member in sorted(job.directory.teams[source_id].members) if member in job.links]
    for member in linked[:ON_DEMAND_MEMBERS]:
        await write_batch(job, Batch(source_id, (member,), add=True), "legacy")


async def _sync_managers(job: Job, people: dict[str, bool]) -> None:
    """The reference pass; the values say whether the source's manager counts as changed."""
    job.progress.begin(f"cycle {job.cycle}: managers", len(people))

    async def step(source_id: str) -> None:
        await sync_manager(job, source_id, changed=people[source_id])

    await job.in_parallel(people, job.profile.user_workers, step)


async def _sync_teams(job: Job, changes: list[Change], due: list[HeldKey]) -> None:
    teams = _ordered([_keys(due, "team"), _changed(changes, "team")])
    await job.in_parallel(teams, job.profile.group_workers, lambda key: sync_team(job, key))
    gone = _ordered([_keys(due, "team_deletion"), _changed(changes, "team_unassigned")])
    await job.in_parallel(gone, job.profile.group_workers, lambda key: remove_team(job, key))


async def _delete_users(job: Job, changes: list[Change], due: list[HeldKey]) -> None:
    """Delete who was purged; leave behind who had been unassigned before (section 3.9)."""
    for source_id in _changed(changes, "abandoned"):
        if source_id in job.links:
            job.abandoned.add(job.links.pop(source_id))
    gone = [key for key in _ordered([_keys(due, "deletion"), _changed(changes, "purged")]) if key in job.links]
    await job.in_parallel(gone, job.profile.user_workers, lambda key: remove_user(job, key, job.links[key]))


async def _write_memberships(job: Job, pairs: Iterable[tuple[str, str]]) -> None:
    batches = batch_memberships(job, pairs)
    job.progress.begin(f"cycle {job.cycle}: memberships", len(batches))
    await job.in_parallel(batches, job.profile.group_workers, lambda batch: write_batch(job, batch))


def _too_many_removals(job: Job, changes: list[Change]) -> bool:
    """Accidental-deletion prevention: many disables and deletes at once quarantine the job (section 7)."""
    people = job.directory.people
    leavers = [key for key in _changed(changes, "person") if key in people and not people[key].active]
    removals = len(leavers) + len(_changed(changes, "purged"))
    if removals > job.profile.deletion_threshold:
        job.quarantine(f"{removals} disables and deletes in one cycle exceed {job.profile.deletion_threshold}")
    return job.stopped


def _changed(changes: list[Change], kind: str) -> list[str]:
    return [change.source_id for change in changes if change.kind == kind]


def _keys(due: list[HeldKey], kind: str) -> list[str]:
    return [key.source_id for key in due if key.kind == kind]


def _ordered(lists: list[list[str]]) -> list[str]:
    """The lists one after another, each entry once."""
    return list(dict.fromkeys(entry for part in lists for entry in part))
