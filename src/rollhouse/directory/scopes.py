"""What every verb of the directory is given and gives: where it acts, what a list asks for, and a page of it."""

from uuid import UUID

import msgspec

from rollhouse.database.pool import Database
from rollhouse.directory.queries import Position, Sort
from rollhouse.journal.audit import UNATTENDED, Cause
from rollhouse.scim.conditions import Compared, Condition
from rollhouse.scim.profile import USUAL, Profile
from rollhouse.scim.representation import Record
from rollhouse.scim.schemas import ResourceType


class Scope(msgspec.Struct, frozen=True):
    """One tenant's resources of one type: where every verb acts, and why.

    `base_url` is the tenant's SCIM URL, `registry` the revision of the registry that the resource type is of, and `profile` says which
    memberships are shown. `in_company` says that the tenant has more requests under way than it may have connections: what they ask for goes together.
    """

    database: Database
    tenant_id: UUID
    resource_type: ResourceType
    base_url: str
    cause: Cause = UNATTENDED
    registry: int = 0
    profile: Profile = USUAL
    in_company: bool = False

    def relation(self, *, is_shown: bool) -> str | None:
        """The memberships that are read with a resource: `members`, `groups`, `all groups`, or None for none."""
        name = self.resource_type.relation if is_shown else None
        return "all groups" if name == "groups" and self.profile.indirect_groups else name


class Query(msgspec.Struct, frozen=True):
    """What a list request asks for: a page by `start_index`, which counts from 1, or the page behind a position; `count` may be 0.

    `total` is how many resources there are, where that was counted before.
    """

    condition: Condition | None = None
    sort: Sort | None = None
    start_index: int = 1
    count: int = 100
    after: Position | None = None
    total: int | None = None

    @property
    def key(self) -> Compared | None:
        """The comparison by which an index finds everything that is asked for, if the whole filter is one."""
        found = self.condition
        is_key = isinstance(found, Compared) and found.operator == "eq" and found.field.source == "document" and bool(found.field.index)
        return found if isinstance(found, Compared) and is_key else None

    @property
    def is_cheap(self) -> bool:
        """Whether no row is looked at that is not shown."""
        return (self.condition is None or self.key is not None) and self.sort is None


class Page(msgspec.Struct, frozen=True):
    """One page of a list, how many resources there are in all, and the position behind which the next page begins: None on the last one."""

    records: list[Record]
    total: int
    next: Position | None = None
