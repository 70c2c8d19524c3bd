"""What the pages stand on, handed in once by the composition root."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from rollhouse.activity.live import Live
from rollhouse.database.pool import Database
from rollhouse.directory.registries import Registries
from rollhouse.limits.failures import PasswordTries
from rollhouse.limits.limit import Limit
from rollhouse.tenancy.openid import Provider, SignIn
from rollhouse.tenancy.secrets import Peppers


class Portal(msgspec.Struct, frozen=True):
    """The service as the pages see it; `public_url` has no slash at its end.

    `provider` is the platform's own OpenID provider, `operators` are the keys of the addresses that it makes operators of.
    `findings` looks at settings and servers, and says what is wrong, each with its cure.
    `source_of` is where a request (its scope) comes from, proxies aside.
    """

    database: Database
    registries: Registries
    peppers: Peppers
    public_url: str
    live: Live
    default_limit: Limit
    tries: PasswordTries
    source_of: Callable[[Any], str]
    sign_in: SignIn
    provider: Provider | None
    operators: frozenset[str]
    findings: Callable[[], Awaitable[list[str]]]

    @property
    def is_secure(self) -> bool:
        """Whether people reach the portal by https, so that its cookies may demand it."""
        return self.public_url.startswith("https://")

    @property
    def cookie(self) -> str:
        """The name of the session's cookie; with https no other host or path can set it."""
        return "__Host-rollhouse" if self.is_secure else "rollhouse"

    def scim_url(self, slug: str) -> str:
        """The Tenant URL of a slug."""
        return f"{self.public_url}/t/{slug}/scim/v2"
