"""Workload identity federation: what an assertion of a foreign issuer must be to stand for a client (RFC 7523 section 3), and the issuers' keys."""

import asyncio
import ipaddress
import re
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import msgspec
from aiohttp.abc import ResolveResult
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from rollhouse.scim.errors import InvalidValue, Unauthorized, Unavailable, check_characters, quoted
from rollhouse.telemetry.logs import log

ALGORITHMS = ("RS256", "PS256", "ES256")
ASSERTION_BYTES_LIMIT = 8 * 1024
SKEW_SECONDS = 60
LIFE_LIMIT_SECONDS = 6 * 3600
"""How far ahead the end of an assertion may be."""
TEXT_LIMIT = 500
FRESH_SECONDS = 3600.0
"""How long keys are used without a look whether the issuer has withdrawn one."""
KEPT_SECONDS = 24 * 3600.0
"""How long keys are used while the key server does not answer."""
PAUSE_SECONDS = 30.0
"""Between two fetches of one URL."""
FETCH_SECONDS = 3.0
KEYS_BYTES_LIMIT = 256 * 1024
MOST_URLS = 1000
"""Key sets kept in this process; the one that was used least recently goes first."""
_RSA_BITS = (2048, 8192)
_RSA_CHARACTERS = (342, 1366)
"""Of the modulus in base64url."""
_WRONG = "Client authentication failed."

Key = RSAKey | ECKey

_URL = re.compile(r"(https?)://([A-Za-z0-9.-]+)(?::([1-9][0-9]{0,4}))?/[A-Za-z0-9._~%/-]*(?:\?[A-Za-z0-9._~%=&-]*)?")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(?::[1-9][0-9]{0,4})?")
_NAME = re.compile(r"(?:[a-z0-9-]+\.)+[a-z][a-z0-9-]*")
"""No address in any of its spellings: a connection to one asks no resolver."""
_DEFAULT_PORTS = {"https": "443", "http": "80"}
_GUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_WORLDWIDE = ("login.microsoftonline.com", "login.windows.net", "sts.windows.net")
"""Three names of one issuer, all of which Microsoft's documents use."""
_NATIONAL = ("login.microsoftonline.us", "login.partner.microsoftonline.cn")
_MICROSOFT = "|".join(re.escape(host) for host in (*_WORLDWIDE, *_NATIONAL))
_MICROSOFT_ISSUER = re.compile(rf"https://({_MICROSOFT})/({_GUID})(?:/v2\.0)?/?")


class KeyHosts(msgspec.Struct, frozen=True):
    """Where keys may be fetched from (threat T33): `names` by https on port 443 from public addresses only, `origins` wherever they lead."""

    names: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> "KeyHosts":
        """From host names and origins such as http://127.0.0.1:8400, joined by commas.

        Raises:
            ValueError: an entry is neither; the message names it.
        """
        entries = [entry.strip().lower() for entry in text.split(",") if entry.strip()]
        for entry in entries:
            if _ORIGIN.fullmatch(entry) is None and _NAME.fullmatch(entry) is None:
                raise ValueError(f"{quoted(entry)} is neither a host name nor an origin such as https://idp.example.com:8443")
        origins = frozenset(_origin(*entry.partition("://")[::2]) for entry in entries if "://" in entry)
        return cls(frozenset(entry for entry in entries if "://" not in entry), origins)

    def is_named_by_origin(self, url: str) -> bool:
        """Whether the operator wrote down the very origin of the URL, so that it may be a private address.

        Raises:
            InvalidValue: keys may not be fetched from there at all.
        """
        match = _URL.fullmatch(url) if len(url) <= TEXT_LIMIT else None
        if match is not None:
            scheme, host, port = match[1], match[2].lower(), match[3]
            if _origin(scheme, f"{host}:{port}" if port else host) in self.origins:
                return True
            if scheme == "https" and host in self.names and port in (None, "443"):
                return False
        raise InvalidValue(f"Keys are not fetched from {quoted(url)}. Use an https URL on a host that the operator has put into ROLLHOUSE_FEDERATION_HOSTS.")


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """Whose assertions stand for a client: exactly those of this issuer about this subject for this audience."""

    issuer: str
    jwks_url: str
    subject: str
    audience: str
    entra_tenant: str | None = None
    """The id of the customer's Entra tenant; an assertion's `tid` must be equal."""


def checked_trust(hosts: KeyHosts, trust: Trust) -> Trust:
    """The trust itself, with the Entra tenant that a Microsoft issuer names.

    Raises:
        InvalidValue: a value is empty, too long or contradicts another one, or the keys may not be fetched from their URL.
    """
    for name, value in (("issuer", trust.issuer), ("subject", trust.subject), ("audience", trust.audience)):
        if not value.strip() or len(value) > TEXT_LIMIT:
            raise InvalidValue(f"The {name} must have 1 to {TEXT_LIMIT} characters; copy it from the identity provider.")
        check_characters(value)
    hosts.is_named_by_origin(trust.jwks_url)
    entra_tenant = trust.entra_tenant.lower() if trust.entra_tenant is not None else None
    if entra_tenant is not None and re.fullmatch(_GUID, entra_tenant) is None:
        raise InvalidValue(f"{quoted(entra_tenant)} is no id of an Entra tenant; copy the Tenant ID (a GUID) from the overview page of Entra ID.")
    match = _MICROSOFT_ISSUER.fullmatch(trust.issuer)
    if match is None:
        return msgspec.structs.replace(trust, entra_tenant=entra_tenant)
    if entra_tenant not in (None, match[2].lower()):
        raise InvalidValue("The issuer names another Entra tenant than the one given. Copy both from the same Entra tenant.")
    return msgspec.structs.replace(trust, entra_tenant=match[2].lower())


class _KeySet:
    """The keys of one URL by kid, how often they were fetched, and when (monotonic seconds) they were fetched and last asked for."""

    def __init__(self) -> None:
        self.keys: Mapping[str, Key] = {}
        self.fetches = 0
        self.fetched = float("-inf")
        self.tried = float("-inf")
        self.lock = asyncio.Lock()


class KeySets:
    """The keys of issuers. They outlive an outage of the key server by 24 hours (fault F23); at most 1,000 sets, one fetch of each in 30 seconds."""

    def __init__(self, hosts: KeyHosts, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.hosts = hosts
        self._clock = clock
        self._sets: OrderedDict[str, _KeySet] = OrderedDict()

    async def key_of(self, url: str, kid: str) -> Key:
        """The key of that id among those at the URL.

        Raises:
            Unauthorized: the issuer has no such key, as it said after the request came.
            Unavailable: the issuer cannot be asked now; with Retry-After.
        """
        entry = self._entry(url)
        fetches = entry.fetches
        age = self._clock() - entry.fetched
        key = entry.keys.get(kid)
        if key is not None and (age < FRESH_SECONDS or (age < KEPT_SECONDS and entry.lock.locked())):
            return key
        async with entry.lock:
            if entry.fetches == fetches and self._clock() - entry.tried >= PAUSE_SECONDS:
                await self._fetch(url, entry)
        now = self._clock()
        key = entry.keys.get(kid)
        if key is not None and now - entry.fetched < KEPT_SECONDS:
            return key
        if entry.fetches > fetches:
            raise Unauthorized(_WRONG)
        wait = max(1, round(entry.tried + PAUSE_SECONDS - now))
        raise Unavailable("The keys of the identity provider cannot be fetched for the moment; try again.", retry_after_seconds=wait)

    def _entry(self, url: str) -> _KeySet:
        entry = self._sets.setdefault(url, _KeySet())
        self._sets.move_to_end(url)
        if len(self._sets) > MOST_URLS:
            self._sets.popitem(last=False)
        return entry

    async def _fetch(self, url: str, entry: _KeySet) -> None:
        """Replace the keys, so that a withdrawn one is gone; a key server that does not answer well leaves them as they are."""
        entry.tried = self._clock()
        try:
            keys = _read_keys(await download(self.hosts, url))
        except (aiohttp.ClientError, InvalidValue, OSError, ValueError) as error:
            log("federation.keys_not_fetched", error=type(error).__name__, known=len(entry.keys))
            return
        entry.keys = keys
        entry.fetches += 1
        entry.fetched = self._clock()


async def verify_assertion(key_sets: KeySets, trust: Trust, assertion: str) -> None:
    """Hold a client's assertion to its trust (RFC 7523 section 3, threat T41); returns if it holds.

    Microsoft's tokens carry no `jti`, so an assertion may be used again until its end.

    Raises:
        Unauthorized: it does not; the same error whatever the reason.
        Unavailable: it names a key that cannot be asked for now.
    """
    if len(assertion) > ASSERTION_BYTES_LIMIT or not assertion.isascii():
        raise Unauthorized(_WRONG)
    registry = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    registry.max_header_length = ASSERTION_BYTES_LIMIT
    try:
        header: object = jws.extract_compact(assertion.encode(), registry=registry).headers()
        # The key comes from the client's own URL by its kid; jku, x5u, jwk and x5c name keys of whoever wrote the header.
        if not isinstance(header, dict) or header.get("alg") not in ALGORITHMS or "crit" in header:
            raise Unauthorized(_WRONG)
        kid = header.get("kid")
        if not isinstance(kid, str) or not kid:
            raise Unauthorized(_WRONG)
        key = await key_sets.key_of(trust.jwks_url, kid)
        claims = jwt.decode(assertion, key, algorithms=ALGORITHMS, registry=registry).claims
    except (JoseError, ValueError, TypeError, RecursionError):
        raise Unauthorized(_WRONG) from None
    if not _holds(trust, claims, time.time()):
        raise Unauthorized(_WRONG)


def _holds(trust: Trust, claims: Mapping[str, Any], now: float) -> bool:
    try:
        jwt.JWTClaimsRegistry(
            now=int(now), leeway=SKEW_SECONDS, iss={"essential": True}, sub={"essential": True, "value": trust.subject}, aud={"essential": True}
        ).validate(dict(claims))
    except JoseError:
        return False
    end = claims.get("exp")
    # Comparisons that NaN, which Python's JSON reads, does not pass.
    times = [claims[name] for name in ("exp", "nbf", "iat") if name in claims]
    if end is None or not all(isinstance(one, int | float) and 0 <= one <= now + LIFE_LIMIT_SECONDS + SKEW_SECONDS for one in times):
        return False
    if trust.entra_tenant is not None and str(claims.get("tid")).lower() != trust.entra_tenant:
        return False
    audience = claims["aud"]
    if isinstance(audience, list):
        if len(audience) != 1:
            return False
        audience = audience[0]
    return _issuer(claims["iss"]) == _issuer(trust.issuer) and _audience(audience) == _audience(trust.audience)


def _issuer(text: str) -> tuple[str, str]:
    """What two spellings of one issuer share: Microsoft's differ in host, /v2.0 and the last slash, never in the Entra tenant."""
    match = _MICROSOFT_ISSUER.fullmatch(text)
    if match is None:
        return text, ""
    return "worldwide" if match[1] in _WORLDWIDE else match[1], match[2].lower()


def _audience(text: str) -> str:
    """What the three documented spellings of one audience share: `<id>`, `api://<id>` and `api://<id>/.default`."""
    return text.removeprefix("api://").removesuffix("/.default")


def _origin(scheme: str, authority: str) -> str:
    return f"{scheme}://{authority.removesuffix(':' + _DEFAULT_PORTS[scheme])}"


class _PublicResolver(aiohttp.ThreadedResolver):
    """Addresses that anybody may reach: a name that leads into the own network is refused, and the connection goes to what was checked."""

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """The host's addresses.

        Raises:
            OSError: there are none, or one is not public.
        """
        found = await super().resolve(host, port, family)
        require_public([result["host"] for result in found])
        return found


def require_public(addresses: list[str]) -> None:
    """Let only addresses through that are public, also inside an IPv6 address that stands for one of IPv4.

    Raises:
        OSError: one is not.
    """
    for text in addresses:
        address = ipaddress.ip_address(text.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address):
            inner = address.ipv4_mapped or address.sixtofour or (ipaddress.IPv4Address(address.packed[-4:]) if address in _NAT64 else None)
            address = inner or address
        if not address.is_global or address.is_multicast:
            raise OSError("the key server's name leads to an address that is not public")


async def download(hosts: KeyHosts, url: str) -> bytes:
    """The body of an answer of a key server, or of what a provider says of itself; it follows no redirect and takes at most three seconds and 256 KiB.

    Raises:
        InvalidValue: keys may not be fetched from there.
        aiohttp.ClientError, OSError, ValueError: there is no good answer.
    """
    resolver = aiohttp.ThreadedResolver() if hosts.is_named_by_origin(url) else _PublicResolver()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=resolver), timeout=aiohttp.ClientTimeout(total=FETCH_SECONDS), auto_decompress=False
    ) as session:
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        async with session.get(url, allow_redirects=False, headers=headers) as response:
            if response.status != 200:  # noqa: PLR2004 - the one good status
                raise ValueError("the key server did not answer with 200")
            body = bytearray()
            async for part in response.content.iter_any():
                body += part
                if len(body) > KEYS_BYTES_LIMIT:
                    raise ValueError("the key server's answer is too large")
            return bytes(body)


def _read_keys(body: bytes) -> dict[str, Key]:
    """The usable keys of a JWK set (RFC 7517 section 5) by kid; others are passed over.

    Raises:
        ValueError: it is no JWK set, or has no usable key.
    """
    try:
        document = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise ValueError("the key server's answer is not JSON") from None
    listed = document.get("keys")
    keys: dict[str, Key] = {}
    for data in listed if isinstance(listed, list) else []:
        kid = data.get("kid") if isinstance(data, dict) else None
        if isinstance(kid, str) and data.get("use", "sig") == "sig" and (key := _read_key(data)) is not None:
            keys[kid] = key
    if not keys:
        raise ValueError("the key server's answer has no usable key")
    return keys


def _read_key(data: dict[str, Any]) -> Key | None:
    """An RSA key of 2048 to 8192 bits or a P-256 key; None for any other."""
    public = {name: value for name, value in data.items() if name in ("kty", "n", "e", "crv", "x", "y", "kid", "alg", "use")}
    try:
        if data.get("kty") == "RSA":
            if not _RSA_CHARACTERS[0] <= len(data["n"]) <= _RSA_CHARACTERS[1]:
                return None
            rsa = RSAKey.import_key(public)
            return rsa if _RSA_BITS[0] <= rsa.public_key.key_size <= _RSA_BITS[1] else None
        return ECKey.import_key(public) if data.get("kty") == "EC" and data.get("crv") == "P-256" else None
    except (JoseError, KeyError, ValueError, TypeError):
        return None
