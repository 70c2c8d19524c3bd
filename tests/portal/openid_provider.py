"""A real OpenID provider on this machine: discovery, authorization with PKCE, a token endpoint that holds clients to it, and keys."""

import base64
import hashlib
import secrets
import time
from typing import Any
from urllib.parse import unquote, urlencode

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.servers.service import free_port

CLIENT_ID, CLIENT_SECRET = "rollhouse-portal", "the secret of the portal"


class OpenIdProvider:
    """Lets in whoever `email` says, as a person with an account there would be; what it signs can be made wrong by `changed`."""

    def __init__(self) -> None:
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.key = RSAKey.generate_key(2048, {"kid": "portal"})
        self.email = ""
        self.changed: dict[str, Any] = {}
        self.signs_with = self.key
        self._codes: dict[str, dict[str, str]] = {}
        self._runner: web.AppRunner | None = None

    async def start(self) -> "OpenIdProvider":
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._describe)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        app.router.add_get("/keys", self._keys)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        return self

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _describe(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def _keys(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [self.key.as_dict(private=False)]})

    async def _authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        good = asked.get("response_type") == "code" and asked.get("client_id") == CLIENT_ID and "openid" in asked.get("scope", "").split()
        if not good or asked.get("code_challenge_method") != "S256" or not asked.get("code_challenge") or not asked.get("nonce") or not asked.get("state"):
            return web.Response(status=400, text="this is no request for a code with PKCE")
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        raise web.HTTPFound(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        shown = base64.b64decode(encoded).decode() if scheme == "Basic" else ""
        asked = self._codes.pop(str(form.get("code")), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(str(form.get("code_verifier")).encode()).digest()).decode().rstrip("=")
        if unquote(shown) != f"{CLIENT_ID}:{CLIENT_SECRET}":
            return web.json_response({"error": "invalid_client"}, status=401)
        if asked is None or challenge != asked["code_challenge"] or form.get("redirect_uri") != asked["redirect_uri"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        usual = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": f"sub-{self.email}",
            "email": self.email,
            "email_verified": True,
            "nonce": asked["nonce"],
            "iat": now,
            "exp": now + 300,
        }
        claims = {name: value for name, value in (usual | self.changed).items() if value is not None}
        token = jwt.encode({"alg": "RS256", "kid": "portal"}, claims, self.signs_with)
        return web.json_response({"access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "id_token": token})
