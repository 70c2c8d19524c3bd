"""What the engine does with groups: match, create, rename, delete, and membership one PATCH at a time (section 4)."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rollhouse.simulator.client import Answer
from rollhouse.simulator.directory import Team
from rollhouse.simulator.job import HeldKey, Job
from rollhouse.simulator.mapping import Document, desired_group, diff_resource
from rollhouse.simulator.primitives import (
    add_members,
    check_reference,
    create_group,
    delete_group,
    match_group,
    patch_group,
    read_group,
    remove_members,
)
from rollhouse.simulator.profile import Dialect

OK, NOT_FOUND, CONFLICT = 200, 404, 409


class Batch(NamedTuple):
    """Members of one team that go into one PATCH, all added or all removed."""

    team_id: str
    member_ids: tuple[str, ...]
    add: bool


async def sync_team(job: Job, source_id: str, dialect: Dialect | None = None) -> None:
    """Bring one team to the target, without its members."""
    team = job.directory.teams.get(source_id)
    if team is None:
        job.escrow.pop(HeldKey("team", source_id), None)
        return
    target_id = job.team_links.get(source_id)
    if target_id is None:
        await _match_or_create(job, team, dialect or job.dialect)
        return
    answer = await read_group(job.client, source_id, target_id)
    if answer.status == OK and answer.document is not None:
        await _update(job, team, answer.document, dialect or job.dialect)
    elif answer.status == NOT_FOUND:
        del job.team_links[source_id]
        await _match_or_create(job, team, dialect or job.dialect)
    else:
        job.fail(HeldKey("team", source_id), answer)


async def _match_or_create(job: Job, team: Team, dialect: Dialect) -> None:
    key = HeldKey("team", team.source_id)
    if await _link_match(job, team, dialect):
        return
    answer = await create_group(job.client, team)
    created_id = answer.document.get("id") if answer.document else None
    if answer.ok and isinstance(created_id, str) and created_id:
        job.link_team(team.source_id, created_id)
        job.succeed(key)
    elif answer.status == CONFLICT:
        if not await _link_match(job, team, dialect):
            job.fail(key, answer, "Conflict")
    else:
        if answer.faulty:
            job.uncertain[team.source_id] = team.display_name
        job.fail(key, answer, "ServiceIncompatible" if answer.ok else "")


async def _link_match(job: Job, team: Team, dialect: Dialect) -> bool:
    """Whether matching settled the team; False when there is no hit."""
    key = HeldKey("team", team.source_id)
    answer = await match_group(job.client, team)
    hits = answer.resources
    if answer.status != OK:
        job.fail(key, answer)
        return True
    if not hits:
        return False
    target_id = hits[0].get("id")
    if len(hits) > 1 or not isinstance(target_id, str):
        job.fail(key, answer, "DuplicateTargetEntries" if len(hits) > 1 else "ServiceIncompatible")
        return True
    job.link_team(team.source_id, target_id)
    await _update(job, team, hits[0], dialect)
    return True


async def _update(job: Job, team: Team, resource: Document, dialect: Dialect) -> None:
    """Patch name and externalId when they differ."""
    key = HeldKey("team", team.source_id)
    edits = diff_resource(resource, desired_group(team))
    if not edits:
        job.succeed(key)
        return
    target_id = job.team_links[team.source_id]
    answer = await patch_group(job.client, team.source_id, target_id, edits, dialect=dialect)
    if answer.ok:
        job.succeed(key)
        return
    if answer.status == NOT_FOUND:
        job.team_links.pop(team.source_id, None)
    job.fail(key, answer)


async def remove_team(job: Job, source_id: str) -> None:
    """Delete the group of a team that is no longer assigned."""
    target_id = job.team_links.get(source_id)
    key = HeldKey("team_deletion", source_id)
    if target_id is None:
        job.escrow.pop(key, None)
        return
    answer = await delete_group(job.client, source_id, target_id)
    if answer.ok or answer.status == NOT_FOUND:
        del job.team_links[source_id]
        job.succeed(key)
    else:
        job.fail(key, answer)


def batch_memberships(job: Job, pairs: Iterable[tuple[str, str]]) -> list[Batch]:
    """Batches that bring memberships to what the directory says now, shuffled across and within teams (12.3).

    Pairs are (team, member) source ids; pairs without a link on both sides are left out, because there is
    nothing that could be sent for them.
    """
    sides: dict[tuple[str, bool], list[str]] = {}
    for team_id, member_id in sorted(set(pairs)):
        team = job.directory.teams.get(team_id)
        if team is not None and team_id in job.team_links and member_id in job.links:
            sides.setdefault((team_id, member_id in team.members), []).append(member_id)
        else:
            job.escrow.pop(HeldKey("membership", team_id, member_id), None)
    size = max(1, job.profile.members_per_patch)
    chance = job.profile.draw("membership_order", job.cycle)
    batches = []
    for (team_id, add), members in sides.items():
        chance.shuffle(members)
        batches += [Batch(team_id, tuple(members[at : at + size]), add) for at in range(0, len(members), size)]
    chance.shuffle(batches)
    return batches


async def write_batch(job: Job, batch: Batch, dialect: Dialect | None = None) -> None:
    """One membership PATCH, after the group read that the real engine makes (section 4, Batching)."""
    team_id, member_ids, add = batch
    target_id = job.team_links.get(team_id)
    targets = [job.links[member] for member in member_ids if member in job.links]
    if target_id is None or not targets:
        return
    if job.profile.per_member_group_read:
        read = await read_group(job.client, team_id, target_id)
        if read.status != OK:
            _fail_batch(job, batch, read)
            return
    if await _membership_is_there(job, batch, target_id, targets):
        return
    write = add_members if add else remove_members
    answer = await write(job.client, team_id, target_id, targets, dialect=dialect or job.dialect)
    if not answer.ok:
        _fail_batch(job, batch, answer)
        return
    for member in member_ids:
        job.succeed(HeldKey("membership", team_id, member))


def _fail_batch(job: Job, batch: Batch, answer: Answer) -> None:
    """Hold every membership of a batch; a group that is gone is matched or created again in the next cycle."""
    if answer.status == NOT_FOUND:
        job.team_links.pop(batch.team_id, None)
        job.fail(HeldKey("team", batch.team_id), answer, "InvalidAnchor")
        return
    for member in batch.member_ids:
        job.fail(HeldKey("membership", batch.team_id, member), answer)


async def _membership_is_there(job: Job, batch: Batch, target_id: str, targets: Sequence[str]) -> bool:
    """For a share of the single adds, ask first and skip the write when the membership exists."""
    chance = job.profile.draw("member_check", job.cycle, batch.team_id, batch.member_ids[0])
    single_add = batch.add and len(targets) == 1
    if not single_add or chance.random() >= job.profile.reference_check_share:
        return False
    answer = await check_reference(job.client, "member_check", target_id, "members", targets[0])
    if answer.status != OK or len(answer.resources) != 1:
        return False
    job.succeed(HeldKey("membership", batch.team_id, batch.member_ids[0]))
    return True
