"""How a tenant wants to be answered where the standards or its client leave a choice: its compatibility profile."""

from typing import Annotated, Literal

import msgspec

MEMBERS_LIMIT = 100_000

PatchAnswer = Literal["usual", "resource", "nothing"]


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A tenant's choices; the defaults suit every identity provider that we know.

    `strict`: what the RFCs do not allow is 400, for conformance runs. `patch_answer`: `usual` answers a PATCH with the resource, but one
    of a type with members with 204; `resource` and `nothing` answer all alike. `indirect_groups`: a user's groups name those, too, that
    it belongs to through other groups. `group_members`: memberships are served as resources of their own under /GroupMembers.
    `members_shown`: most members that a group is shown with, 0 to 100,000; None: all.
    """

    strict: bool = False
    patch_answer: PatchAnswer = "usual"
    indirect_groups: bool = False
    group_members: bool = False
    members_shown: Annotated[int, msgspec.Meta(ge=0, le=MEMBERS_LIMIT)] | None = None


USUAL = Profile()
"""The profile of a tenant that has chosen nothing."""
