"""The source of truth: a tenant's people, teams and memberships, and the log of what changed in them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

ChangeKind = Literal["person", "manager", "purged", "abandoned", "team", "team_unassigned", "membership"]

RETENTION_SECONDS = 30 * 24 * 3600
"""How long a soft-deleted person can be restored (scim-clients section 3.9)."""


@dataclass(slots=True)
class Person:
    """One user object of the directory; attributes are keyed by Entra's names and absent when null."""

    source_id: str
    attributes: dict[str, str]
    manager_id: str | None = None
    account_enabled: bool = True
    assigned: bool = True
    deleted_at_seconds: float | None = None

    @property
    def in_scope(self) -> bool:
        """Whether the job manages the person: assigned and not soft-deleted."""
        return self.assigned and self.deleted_at_seconds is None

    @property
    def active(self) -> bool:
        """What the target's `active` should be."""
        return self.in_scope and self.account_enabled


@dataclass(slots=True)
class Team:
    """One assigned security group; members are source ids."""

    source_id: str
    display_name: str
    members: set[str] = field(default_factory=set)


class Change(NamedTuple):
    """One entry of the delta feed; `member_id` is set for memberships only."""

    kind: ChangeKind
    source_id: str
    member_id: str = ""


@dataclass(slots=True)
class Directory:
    """A tenant's directory; every mutation appends to the delta feed that incremental cycles read."""

    people: dict[str, Person] = field(default_factory=dict)
    teams: dict[str, Team] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    @property
    def watermark(self) -> int:
        """The position after the latest change."""
        return len(self.changes)

    def changes_since(self, watermark: int) -> list[Change]:
        """Changes after a watermark, each once, in order of their first appearance."""
        return list(dict.fromkeys(self.changes[watermark:]))

    def active_people(self) -> list[Person]:
        """People who should be active at the target, in order of source id (no order of hashes)."""
        return [self.people[key] for key in sorted(self.people) if self.people[key].active]

    def teams_of(self, source_id: str) -> list[Team]:
        """The teams a person is a direct member of, in order of source id."""
        return [self.teams[key] for key in sorted(self.teams) if source_id in self.teams[key].members]

    def add_person(self, person: Person) -> None:
        """Take in a joiner."""
        self.people[person.source_id] = person
        self.changes.append(Change("person", person.source_id))
        if person.manager_id is not None:
            self.changes.append(Change("manager", person.source_id))

    def change_person(self, source_id: str, attributes: dict[str, str]) -> None:
        """Set attributes of a person; an empty mapping stands for a change that no mapping reads."""
        self.people[source_id].attributes.update(attributes)
        self.changes.append(Change("person", source_id))

    def set_manager(self, source_id: str, manager_id: str) -> None:
        """Give a person another manager."""
        self.people[source_id].manager_id = manager_id
        self.changes.append(Change("person", source_id))
        self.changes.append(Change("manager", source_id))

    def set_enabled(self, source_id: str, *, enabled: bool) -> None:
        """Block or allow a person's sign-in."""
        self.people[source_id].account_enabled = enabled
        self.changes.append(Change("person", source_id))

    def set_assigned(self, source_id: str, *, assigned: bool) -> None:
        """Assign a person to the application, or take the assignment away."""
        self.people[source_id].assigned = assigned
        self.changes.append(Change("person", source_id))

    def soft_delete(self, source_id: str, now_seconds: float) -> None:
        """Move a person to the bin; memberships stay for a restore."""
        self.people[source_id].deleted_at_seconds = now_seconds
        self.changes.append(Change("person", source_id))

    def restore(self, source_id: str) -> None:
        """Take a person back out of the bin."""
        self.people[source_id].deleted_at_seconds = None
        self.changes.append(Change("person", source_id))

    def purge(self, source_id: str) -> None:
        """Delete a person for good; one who was unassigned before is nobody's business at the target any more."""
        person = self.people.pop(source_id)
        for team in self.teams.values():
            team.members.discard(source_id)
        self.changes.append(Change("purged" if person.assigned else "abandoned", source_id))

    def purge_expired(self, now_seconds: float) -> None:
        """Delete for good who has been in the bin for 30 days."""
        for key in sorted(self.people):
            deleted_at = self.people[key].deleted_at_seconds
            if deleted_at is not None and now_seconds - deleted_at >= RETENTION_SECONDS:
                self.purge(key)

    def add_team(self, team: Team) -> None:
        """Assign a team, with the members it has."""
        self.teams[team.source_id] = team
        self.changes.append(Change("team", team.source_id))
        self.changes.extend(Change("membership", team.source_id, member) for member in sorted(team.members))

    def rename_team(self, source_id: str, display_name: str) -> None:
        """Give a team another name; the same name stands for a change that no mapping reads."""
        self.teams[source_id].display_name = display_name
        self.changes.append(Change("team", source_id))

    def unassign_team(self, source_id: str) -> None:
        """Take a team's assignment away: groups have no soft delete at the target."""
        del self.teams[source_id]
        self.changes.append(Change("team_unassigned", source_id))

    def add_members(self, source_id: str, members: Iterable[str]) -> None:
        """Add direct members to a team."""
        for member in members:
            self.teams[source_id].members.add(member)
            self.changes.append(Change("membership", source_id, member))

    def remove_members(self, source_id: str, members: Iterable[str]) -> None:
        """Remove direct members from a team."""
        for member in members:
            self.teams[source_id].members.discard(member)
            self.changes.append(Change("membership", source_id, member))
