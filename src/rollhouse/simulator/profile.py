"""Who the simulated Entra tenant is: the settings of its provisioning job, drawn from the seed."""

import random
from dataclasses import dataclass
from typing import Literal

Dialect = Literal["legacy", "flag"]
FlagPropagation = Literal["stripped", "bare", "equals"]

WORK_MAIL = 'emails[type eq "work"].value'
"""The target path of the work e-mail address, as Entra's mapping editor writes it."""

LEGACY_SHARE = 0.7
"""Share of tenants without the SCIM compliance flag (scim-clients section 12.1)."""

HALF, CLIENT_META_SHARE, EXPLICIT_NULLS_SHARE, SHORT_INTERVAL_SHARE = 0.5, 0.8, 0.1, 0.05
"""Shares of tenants for other variations (sections 3.3 and 12.1)."""

CYCLE_INTERVAL_SECONDS = 40 * 60
"""Virtual time from the end of one cycle to the start of the next (scim-clients section 7)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The configuration of one tenant's job; every random choice of a run derives from it (section 12.1)."""

    seed: int = 1
    """The run's seed: the same seed, tenant number and run tag give the same directory and requests."""
    tenant_number: int = 0
    """Which tenant of a many-tenant run this is."""
    run_tag: str = "run"
    """Part of every domain, alias and group name, so that runs on one server do not meet."""
    dialect: Dialect = "legacy"
    """The PATCH dialect of scheduled cycles; on-demand provisioning is always legacy."""
    flag_propagation: FlagPropagation = "stripped"
    """What becomes of the flag of the tenant URL in requests (unknown in reality, section 2.1)."""
    user_match: str = "userName"
    """Target attribute that finds existing users."""
    group_match: str = "displayName"
    """Target attribute that finds existing groups."""
    external_id_source: Literal["mailNickname", "objectId"] = "mailNickname"
    """Source attribute of a user's externalId."""
    custom_extension: str | None = None
    """Name of a tenant-defined extension whose URN is sent, but not listed in `schemas` (section 3.0)."""
    sends_client_meta: bool = True
    """Whether POST carries `meta.resourceType`."""
    sends_empty_roles: bool = True
    """Whether POST of a user carries `roles: []`."""
    sends_explicit_nulls: bool = False
    """Whether POST of a user carries null for absent values (a shape of Microsoft's own samples)."""
    strips_guest_suffix: bool = True
    """Whether a guest's `#EXT#` name is turned back into the address at home (section 3.0)."""
    honours_retry_after: bool = True
    """Whether 429 pauses the job, or sends the object to escrow (section 12.6)."""
    members_per_patch: int = 1
    """Members per membership PATCH: 1 for non-gallery applications."""
    per_member_group_read: bool = True
    """Whether the group is read before each membership PATCH."""
    reference_check_share: float = 0.1
    """Share of reference writes that are preceded by a query for the reference."""
    user_workers: int = 8
    """Users in flight at once."""
    group_workers: int = 6
    """Membership writes in flight at once, also on one group."""
    cycle_interval_seconds: int = CYCLE_INTERVAL_SECONDS
    """Virtual seconds between cycles."""
    deletion_threshold: int = 500
    """More disables and deletes than this in one cycle quarantine the job (section 7)."""
    manager_share: float = 0.85
    """Share of people with a manager."""

    def draw(self, *subject: object) -> random.Random:
        """A generator of its own for a subject, so that the order of parallel work changes no choice."""
        parts = (self.seed, self.tenant_number, self.run_tag, *subject)
        return random.Random(":".join(map(str, parts)))  # noqa: S311  it must be repeatable

    @property
    def domain(self) -> str:
        """The tenant's verified domain: names the run, and can never exist (RFC 2606)."""
        return f"s{self.seed}t{self.tenant_number}-{self.run_tag}.example"


def draw_dialect(seed: int, tenant_number: int = 0) -> Dialect:
    """The dialect that a tenant has when nobody says otherwise: legacy for 70 % of them."""
    return "legacy" if random.Random(f"{seed}:{tenant_number}:dialect").random() < LEGACY_SHARE else "flag"  # noqa: S311  it must be repeatable


def draw_profile(seed: int, tenant_number: int, run_tag: str, dialect: Dialect) -> Profile:
    """The realistic non-gallery job of a tenant: everything but the dialect follows the shares of section 12.1."""
    chance = random.Random(f"{seed}:{tenant_number}:profile")  # noqa: S311  it must be repeatable
    match = chance.choices(["userName", "externalId", WORK_MAIL], weights=[80, 15, 5])[0]
    propagations: tuple[FlagPropagation, ...] = ("stripped", "bare", "equals")
    extension = chance.choice([None, "Contoso", "Fabrikam"])
    return Profile(
        seed=seed,
        tenant_number=tenant_number,
        run_tag=run_tag,
        dialect=dialect,
        flag_propagation=chance.choice(propagations),
        user_match=match,
        group_match=chance.choices(["displayName", "externalId"], weights=[85, 15])[0],
        external_id_source="mailNickname" if chance.random() < LEGACY_SHARE else "objectId",
        custom_extension=extension,
        sends_client_meta=chance.random() < CLIENT_META_SHARE,
        sends_empty_roles=chance.random() < HALF,
        sends_explicit_nulls=chance.random() < EXPLICIT_NULLS_SHARE,
        honours_retry_after=chance.random() < HALF,
        cycle_interval_seconds=CYCLE_INTERVAL_SECONDS // 2 if chance.random() < SHORT_INTERVAL_SHARE else CYCLE_INTERVAL_SECONDS,
    )
