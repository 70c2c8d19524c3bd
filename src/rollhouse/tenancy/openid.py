"""Signing people in with OpenID Connect: authorization code with PKCE (RFC 7636), and an ID token that is exactly the one that was asked for."""

import secrets
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import httpx2
import msgspec
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc import jws, jwt
from joserfc.errors import JoseError

from rollhouse.database.pool import Database
from rollhouse.journal import audit
from rollhouse.journal.audit import PLATFORM, Cause
from rollhouse.scim.errors import InvalidValue, Unauthorized, Unavailable, Uniqueness, quoted
from rollhouse.tenancy import people
from rollhouse.tenancy.federation import ALGORITHMS, KeyHosts, KeySets, download
from rollhouse.tenancy.secrets import Peppers
from rollhouse.tenancy.sessions import Person
from rollhouse.tenancy.tenants import Tenant

ATTEMPT_SECONDS = 600
"""How long somebody may take at his identity provider."""
FETCH_SECONDS = 5.0
SKEW_SECONDS = 60
DESCRIBED_SECONDS = 300.0
"""How long a provider's description of itself is believed."""
TEXT_LIMIT = 500
DESCRIBED_LIMIT = 100
SCOPE = "openid email profile"
_WRONG = "The identity provider's answer cannot be used. Sign in again from the start."
_UNVERIFIED = "The identity provider does not say that {email} is verified. Let it send the claim email_verified; in Entra ID add the optional claim xms_edov."
_NOT_YOU = "{email} may not see these pages. Ask an administrator to add this address under Settings."


class Provider(msgspec.Struct, frozen=True):
    """Who vouches for people: of one tenant, or of the platform.

    A tenant's own provider `owns_addresses`: whose an address is there is the tenant's own affair.
    """

    issuer: str
    client_id: str
    client_secret: str | None = None
    owns_addresses: bool = False


class Attempt(msgspec.Struct, frozen=True):
    """One way to a provider and back, kept in a cookie of the browser that went: nobody else's answer is taken for it."""

    state: str
    nonce: str
    verifier: str
    slug: str
    then: str
    began: int


class Identity(msgspec.Struct, frozen=True):
    """Whom the provider vouches for; an address that is not verified makes nobody a member or an operator the first time."""

    issuer: str
    subject: str
    email: str
    is_verified: bool


class _Description(msgspec.Struct, frozen=True):
    """What is used of a provider's description (OpenID Connect Discovery section 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class SignIn:
    """The ways to providers; keeps what at most a hundred of them say of themselves, for five minutes."""

    def __init__(self, key_sets: KeySets, redirect_uri: str) -> None:
        self._key_sets = key_sets
        self._redirect_uri = redirect_uri
        self._described: dict[str, tuple[float, _Description]] = {}

    @property
    def hosts(self) -> KeyHosts:
        """Where providers may be."""
        return self._key_sets.hosts

    async def begin(self, provider: Provider, *, slug: str, then: str) -> tuple[str, Attempt]:
        """The address at the provider to go to, and what the way back is to be compared with.

        Raises:
            Unavailable: the provider does not answer.
        """
        described = await self._describe(provider)
        attempt = Attempt(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48), slug, then, int(time.time()))
        async with self._client(provider) as client:
            url, _ = client.create_authorization_url(
                described.authorization_endpoint, state=attempt.state, code_verifier=attempt.verifier, nonce=attempt.nonce, code_challenge_method="S256"
            )
        return str(url), attempt

    async def finish(self, provider: Provider, attempt: Attempt, *, state: str, code: str) -> Identity:
        """Whom the provider vouches for in exchange for the code.

        Raises:
            Unauthorized: the answer belongs to another attempt, or the ID token is not the one that was asked for (threat T41).
            Unavailable: the provider does not answer.
        """
        if not secrets.compare_digest(state.encode(), attempt.state.encode()) or not 0 <= time.time() - attempt.began < ATTEMPT_SECONDS:
            raise Unauthorized(_WRONG)
        described = await self._describe(provider)
        async with self._client(provider) as client:
            try:
                token = await client.fetch_token(described.token_endpoint, code=code, code_verifier=attempt.verifier, grant_type="authorization_code")
            except httpx2.HTTPError as error:
                raise _away(error) from None
            except (OAuthError, ValueError):
                raise Unauthorized(_WRONG) from None
        claims = await self._verify(described, str(token.get("id_token", "")))
        return _identity(provider, attempt, claims)

    def _client(self, provider: Provider) -> Any:
        method = "client_secret_basic" if provider.client_secret is not None else "none"
        return AsyncOAuth2Client(
            provider.client_id,
            provider.client_secret,
            token_endpoint_auth_method=method,
            scope=SCOPE,
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            timeout=FETCH_SECONDS,
            follow_redirects=False,
            trust_env=False,
        )

    async def _describe(self, provider: Provider) -> _Description:
        known = self._described.get(provider.issuer)
        if known is not None and time.monotonic() - known[0] < DESCRIBED_SECONDS:
            return known[1]
        url = provider.issuer.rstrip("/") + "/.well-known/openid-configuration"
        check_issuer(self.hosts, provider.issuer)
        try:
            found = msgspec.json.decode(await download(self.hosts, url), type=_Description)
        except (aiohttp.ClientError, OSError, ValueError, msgspec.DecodeError) as error:
            raise _away(error) from None
        if found.issuer != provider.issuer:
            raise Unavailable("The identity provider says that it is another one; check the issuer.", retry_after_seconds=60)
        for endpoint in (found.token_endpoint, found.jwks_uri):
            check_issuer(self.hosts, endpoint)
        if len(self._described) >= DESCRIBED_LIMIT:
            del self._described[next(iter(self._described))]
        self._described[provider.issuer] = (time.monotonic(), found)
        return found

    async def _verify(self, described: _Description, text: str) -> Mapping[str, Any]:
        registry = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
        try:
            header: object = jws.extract_compact(text.encode(), registry=registry).headers()
            if not isinstance(header, dict) or header.get("alg") not in ALGORITHMS or "crit" in header or not isinstance(header.get("kid"), str):
                raise Unauthorized(_WRONG)
            key = await self._key_sets.key_of(described.jwks_uri, header["kid"])
            found: Mapping[str, Any] = jwt.decode(text, key, algorithms=ALGORITHMS, registry=registry).claims
        except (JoseError, ValueError, TypeError, RecursionError):
            raise Unauthorized(_WRONG) from None
        return found


def check_issuer(hosts: KeyHosts, url: str) -> None:
    """Hold an address of a provider to those that the operator has named (threat T33).

    Raises:
        InvalidValue: it is none of them.
    """
    hosts.is_named_by_origin(url if url.count("/") > 2 else url + "/")  # noqa: PLR2004 - an origin alone has no path


def _identity(provider: Provider, attempt: Attempt, claims: Mapping[str, Any]) -> Identity:
    now = int(time.time())
    try:
        jwt.JWTClaimsRegistry(
            now=now,
            leeway=SKEW_SECONDS,
            iss={"essential": True, "value": provider.issuer},
            sub={"essential": True},
            aud={"essential": True, "value": provider.client_id},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": attempt.nonce},
        ).validate(dict(claims))
    except JoseError:
        raise Unauthorized(_WRONG) from None
    if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != provider.client_id:
        raise Unauthorized(_WRONG)
    email = claims.get("email")
    if not isinstance(email, str) or claims.get("email_verified") in (False, "false") or not isinstance(claims["sub"], str):
        raise Unauthorized("The identity provider names no e-mail address of yours, or says that nobody has verified it.")
    # Entra ID says it in a claim of its own, and only if it is told to; anybody can write an address into a directory of his.
    is_verified = provider.owns_addresses or claims.get("email_verified") in (True, "true") or claims.get("xms_edov") in (True, 1, "true", "1")
    return Identity(provider.issuer, claims["sub"][:TEXT_LIMIT], email[: people.EMAIL_LIMIT], is_verified)


def _away(error: Exception) -> Unavailable:
    refusal = Unavailable("The identity provider does not answer for the moment; try again.", retry_after_seconds=10)
    refusal.__cause__ = error
    return refusal


# -- who that is here

_PROVIDER = "SELECT issuer, client_id, client_secret, pepper_version FROM rollhouse.identity_providers WHERE tenant_id = $1"
_SET_PROVIDER = (
    "INSERT INTO rollhouse.identity_providers (tenant_id, issuer, client_id, client_secret, pepper_version) VALUES ($1, $2, $3, $4, $5)"
    " ON CONFLICT (tenant_id) DO UPDATE SET issuer = excluded.issuer, client_id = excluded.client_id, client_secret = excluded.client_secret,"
    " pepper_version = excluded.pepper_version"
)
_SEAL_ANEW = "UPDATE rollhouse.identity_providers SET client_secret = $2, pepper_version = $3 WHERE tenant_id = $1 AND client_secret = $4"
_UNSET_PROVIDER = "DELETE FROM rollhouse.identity_providers WHERE tenant_id = $1"
# Who is bound comes first: a second entry with a new address of his is not him.
_BIND_MEMBER = (
    "UPDATE rollhouse.members SET issuer = $2, subject = $3 WHERE tenant_id = $1 AND id = (SELECT m.id FROM rollhouse.members m"
    " WHERE m.tenant_id = $1 AND ((m.issuer = $2 AND m.subject = $3) OR (m.subject IS NULL AND m.email_key = $4))"
    " ORDER BY m.subject IS NULL LIMIT 1) RETURNING id"
)
_BIND_OPERATOR = (
    "UPDATE rollhouse.operators SET issuer = $1, subject = $2 WHERE disabled IS NULL AND id = (SELECT o.id FROM rollhouse.operators o"
    " WHERE (o.issuer = $1 AND o.subject = $2) OR (o.subject IS NULL AND o.email_key = $3) ORDER BY o.subject IS NULL LIMIT 1) RETURNING id"
)


async def provider_of(database: Database, peppers: Peppers, tenant: Tenant) -> Provider | None:
    """The tenant's own identity provider, if it has one."""
    async with database.transaction(tenant.id) as tx:
        rows = await tx.fetch(_PROVIDER, tenant.id)
    if not rows:
        return None
    sealed, version = rows[0]["client_secret"], rows[0]["pepper_version"]
    secret = peppers.unseal(version, sealed) if sealed is not None else None
    if secret is not None and version != peppers.current:
        async with database.transaction(tenant.id) as tx:
            await tx.fetch(_SEAL_ANEW, tenant.id, peppers.seal(secret), peppers.current, sealed)
    return Provider(rows[0]["issuer"], rows[0]["client_id"], secret, owns_addresses=True)


async def set_provider(database: Database, peppers: Peppers, hosts: KeyHosts, tenant: Tenant, provider: Provider | None, *, cause: Cause) -> None:
    """Give the tenant its own identity provider for signing in to the portal, or take it away; the client secret is stored sealed.

    Raises:
        InvalidValue: the issuer is on no host that the operator has named, or a value is empty or too long.
    """
    async with database.transaction(tenant.id) as tx:
        if provider is None:
            await tx.fetch(_UNSET_PROVIDER, tenant.id)
        else:
            check_issuer(hosts, provider.issuer)
            if not 0 < len(provider.client_id) <= TEXT_LIMIT:
                raise InvalidValue(f"A client id has 1 to {TEXT_LIMIT} characters.")
            sealed = peppers.seal(provider.client_secret) if provider.client_secret is not None else None
            await tx.fetch(_SET_PROVIDER, tenant.id, provider.issuer, provider.client_id, sealed, peppers.current)
        await audit.append(tx, cause, "sign_in.changed", "Tenant", tenant.id, ["issuer"])


async def member_of(database: Database, tenant: Tenant, identity: Identity) -> Person:
    """The tenant's member whom an identity stands for: by issuer and subject, the first time by the address that he was added with.

    Raises:
        Unauthorized: there is none, or the address is bound to somebody else.
    """
    refusal = Unauthorized((_NOT_YOU if identity.is_verified else _UNVERIFIED).format(email=quoted(identity.email)))
    async with database.transaction(tenant.id) as tx:
        rows = await tx.fetch(_BIND_MEMBER, tenant.id, identity.issuer, identity.subject, _key(identity))
        if not rows:
            raise refusal
    return Person(tenant_id=tenant.id, member_id=rows[0]["id"])


async def operator_of(database: Database, allowed: frozenset[str], identity: Identity, *, cause: Cause) -> Person:
    """The operator whom an identity of the platform's own provider stands for; whose address is on the list is made one.

    Raises:
        Unauthorized: the address is not on the list, not verified, or bound to somebody else.
    """
    if not identity.is_verified:
        raise Unauthorized(_UNVERIFIED.format(email=quoted(identity.email)))
    if _key(identity) not in allowed:
        raise Unauthorized(f"{quoted(identity.email)} is no operator here. Ask one to put the address into ROLLHOUSE_OIDC_OPERATORS.")
    await people.ensure_operator(database, identity.email, cause=cause)
    refusal = Unauthorized(f"{quoted(identity.email)} is bound to another account of the identity provider.")
    try:
        async with database.transaction(PLATFORM) as tx:
            rows = await tx.fetch(_BIND_OPERATOR, identity.issuer, identity.subject, _key(identity))
            if not rows:
                raise refusal
    except Uniqueness:
        raise refusal from None
    return Person(operator_id=rows[0]["id"])


def _key(identity: Identity) -> str:
    try:
        return people.email_key(identity.email) if identity.is_verified else ""
    except InvalidValue:
        return ""


def read_operators(text: str) -> frozenset[str]:
    """The keys of the addresses in a list with commas.

    Raises:
        InvalidValue: one is no address.
    """
    return frozenset(people.email_key(one) for one in text.split(",") if one.strip())
