"""What is wrong with the settings and the servers behind them: each finding a sentence with its cure, for `rollhouse doctor` and the platform's page."""

import socket
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from rollhouse.database.health import clock_findings, postgres_findings, schema_findings
from rollhouse.database.pool import Database
from rollhouse.http.sources import read_networks
from rollhouse.journal.sealing import AuditKey
from rollhouse.scim.errors import ScimError
from rollhouse.settings import Settings
from rollhouse.tenancy.credentials import live_by_pepper
from rollhouse.tenancy.federation import KeyHosts
from rollhouse.tenancy.secrets import Peppers

ENTRA_RATE = 25
"""Requests a second of one tenant that Entra ID wants served."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
REDIS_SECONDS = 2.0


def setting_findings(settings: Settings, *, is_dev: bool) -> list[str]:
    """What is wrong with the settings alone; what `rollhouse dev` does not need is not asked of it."""
    findings = [*_address_findings(settings.public_url), *_pepper_findings(settings.peppers), *_listening_findings(settings), *_key_findings(settings)]
    try:
        read_networks(settings.trusted_proxies)
    except ValueError as error:
        findings.append(f"ROLLHOUSE_TRUSTED_PROXIES cannot be read ({error}); cure: give networks such as 10.0.0.0/8,fd00::/8")
    if 0 < settings.rate_per_second < ENTRA_RATE:
        findings.append(
            f"ROLLHOUSE_RATE_PER_SECOND is {settings.rate_per_second}, less than the {ENTRA_RATE} that Entra ID wants of each tenant; cure: raise it"
        )
    if settings.page_size_default > settings.page_size_limit:
        findings.append("ROLLHOUSE_PAGE_SIZE_DEFAULT is over ROLLHOUSE_PAGE_SIZE_LIMIT; cure: lower it")
    if settings.redis_url is None and not is_dev:
        findings.append("ROLLHOUSE_REDIS_URL is not set, so each process counts limits for itself; cure: give the URL of a Redis that all processes share")
    return findings


def _listening_findings(settings: Settings) -> list[str]:
    findings = []
    try:
        socket.getaddrinfo(settings.host, settings.port, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        findings.append(f"ROLLHOUSE_HOST is no address of this machine ({settings.host[:80]}); cure: 127.0.0.1 for this machine alone, 0.0.0.0 for all")
    if settings.port == settings.metrics_port:
        findings.append(f"ROLLHOUSE_PORT and ROLLHOUSE_METRICS_PORT are both {settings.port}; cure: give two ports")
    return findings


def _key_findings(settings: Settings) -> list[str]:
    findings = []
    try:
        KeyHosts.parse(settings.federation_hosts)
    except ValueError as error:
        findings.append(f"ROLLHOUSE_FEDERATION_HOSTS cannot be read ({error}); cure: host names, or origins such as https://idp.example.com:8443")
    try:
        AuditKey.parse(settings.audit_key) if settings.audit_key is not None else None
    except ValueError as error:
        findings.append(f"ROLLHOUSE_AUDIT_KEY cannot be used: {error}; cure: take the line that `rollhouse audit key` prints")
    return findings


def _address_findings(public_url: str | None) -> list[str]:
    if public_url is None:
        return ["ROLLHOUSE_PUBLIC_URL is not set; cure: give the address that identity providers use, e.g. https://scim.example.com"]
    try:
        parts = urlsplit(public_url)
        parts.port  # noqa: B018 - it is read only when it is asked for
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        return [f"ROLLHOUSE_PUBLIC_URL is no address ({public_url[:80]}); cure: give one such as https://scim.example.com"]
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        return ["ROLLHOUSE_PUBLIC_URL begins with http:, and Entra ID sends secrets only over https; cure: put TLS in front, and say https"]
    return []


def _pepper_findings(peppers: str | None) -> list[str]:
    if peppers is None:
        return ["ROLLHOUSE_PEPPERS is not set; cure: 1:<base64url of 32 random bytes>, from: openssl rand -base64 32 | tr '+/' '-_'"]
    try:
        Peppers.parse(peppers)
    except ValueError as error:
        return [f"ROLLHOUSE_PEPPERS cannot be used: {error}; cure: give version:key pairs joined by commas, the current one first"]
    return []


async def server_findings(settings: Settings, database: Database | None) -> list[str]:
    """What is wrong with Redis and Postgres; `database` is open, or None where there is no URL of one."""
    findings = await redis_findings(settings.redis_url)
    if database is None:
        return [*findings, "there is no database; cure: set ROLLHOUSE_DATABASE_URL, or start rollhouse dev and name its folder with --data-dir"]
    try:
        findings += await postgres_findings(database, connections=settings.database_connections)
        schema = await schema_findings(database)
        findings += schema
        if not schema:
            findings += await _credential_findings(database, settings)
        findings += await clock_findings(database)
    except ScimError as error:
        findings.append(unreachable(error))
    return findings


def unreachable(error: ScimError) -> str:
    """The finding that Postgres cannot be used."""
    cause = error.__cause__ or error
    return f"Postgres cannot be used ({type(cause).__name__}: {cause}); cure: check ROLLHOUSE_DATABASE_URL, and that the server runs"


def is_local(settings: Settings) -> bool:
    """Whether the service is somebody's own, on his machine: he needs no Redis."""
    return urlsplit(settings.public_url or "").hostname in LOOPBACK


async def _credential_findings(database: Database, settings: Settings) -> list[str]:
    """Live credentials whose pepper is gone can never be verified again."""
    try:
        known = Peppers.parse(settings.peppers or "").keys
    except ValueError:
        return []
    lacking = [(version, live) for version, live in (await live_by_pepper(database)).items() if version not in known]
    cure = "cure: add it behind the current one until they have been used"
    return [f"{live} live credentials need the pepper of version {version}, which ROLLHOUSE_PEPPERS lacks; {cure}" for version, live in lacking]


async def redis_findings(url: str | None) -> list[str]:
    """What is wrong with Redis; nothing where none is used."""
    if url is None:
        return []
    try:
        redis = Redis.from_url(url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS, retry=Retry(NoBackoff(), 0))
    except ValueError as error:
        return [f"ROLLHOUSE_REDIS_URL cannot be read ({error}); cure: give one such as redis://redis:6379/0"]
    try:
        await redis.set("rollhouse:doctor", "1", px=1000)
    except (RedisError, OSError, TimeoutError) as error:
        return [f"Redis cannot be used ({type(error).__name__}: {error}); cure: check ROLLHOUSE_REDIS_URL, and that the server takes writes"]
    finally:
        await redis.aclose()
    return []
