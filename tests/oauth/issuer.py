"""A real issuer on this machine: its own keys, a JWK set per path, answers that can go wrong, and assertions signed with joserfc."""

import time
import uuid
from typing import Any

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey

from tests.servers.service import free_port

ENTRA_TENANT = "11111111-2222-4333-8444-555555555555"
SUBJECT = "01234567-89ab-4cde-8f01-23456789abcd"
AUDIENCE = "api://89abcdef-0123-4567-89ab-cdef01234567"
ISSUER = f"https://login.microsoftonline.com/{ENTRA_TENANT}/v2.0"
ALGORITHMS = ["RS256", "PS256", "ES256", "HS256", "RS384", "none"]


class Issuer:
    """Serves JWK sets under paths of their own, so that no test meets another one's keys in a cache."""

    def __init__(self) -> None:
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.sets: dict[str, Any] = {}
        self.fetches: dict[str, int] = {}
        self.key = RSAKey.generate_key(2048, {"kid": "first"})
        self.next_key = RSAKey.generate_key(2048, {"kid": "second"})
        self.curve_key = ECKey.generate_key("P-256", {"kid": "curve"})
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()
        self._runner = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.fetches[request.path] = self.fetches.get(request.path, 0) + 1
        found = self.sets.get(request.path)
        if found is None:
            return web.json_response({"error": "none"}, status=404)
        return found() if callable(found) else web.json_response(found)

    def publish(self, *keys: Key, path: str | None = None) -> str:
        """The URL of a set with these keys; of a new set if no path is given."""
        path = path or f"/{uuid.uuid4()}/keys"
        self.sets[path] = {"keys": [key.as_dict(private=False) for key in keys]}
        return self.origin + path

    def path_of(self, url: str) -> str:
        return url.removeprefix(self.origin)


def claims(**changed: Any) -> dict[str, Any]:
    """The claims of Microsoft's token for a workload; a change to None leaves one out."""
    now = int(time.time())
    usual = {
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": AUDIENCE,
        "oid": SUBJECT,
        "tid": ENTRA_TENANT,
        "iat": now,
        "nbf": now,
        "exp": now + 3900,
        "ver": "2.0",
    }
    return {name: value for name, value in (usual | changed).items() if value is not None}


def sign(key: Key, changed: dict[str, Any] | None = None, *, algorithm: str = "RS256", kid: str | None = "", **header: Any) -> str:
    """An assertion of the usual claims with some changed; the kid is the key's unless another, or None, is given."""
    named = {} if kid is None else {"kid": kid or key.kid}
    return jwt.encode({"alg": algorithm, "typ": "JWT", **named, **header}, claims(**(changed or {})), key, algorithms=ALGORITHMS)
