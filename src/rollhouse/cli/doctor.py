"""`rollhouse doctor`: every misconfiguration in one line, each with its cure."""

import asyncio
import socket
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

import click
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from rollhouse.cli.invocation import FAILED, Invocation, command
from rollhouse.cli.root import rollhouse
from rollhouse.database.health import schema_findings
from rollhouse.database.pool import Database
from rollhouse.http.sources import read_networks
from rollhouse.journal.sealing import AuditKey
from rollhouse.scim.errors import ScimError
from rollhouse.settings import Settings
from rollhouse.tenancy.federation import KeyHosts
from rollhouse.tenancy.secrets import Peppers

CLOCK_LIMIT_SECONDS = 5.0
POSTGRES_MINIMUM = 150_000
MENDED_MINORS = {15: 9, 16: 5, 17: 1}
"""The first minor release of each version in which a cached plan cannot use another role's policy (CVE-2024-10976)."""
ENTRA_RATE = 25
"""Requests a second of one tenant that Entra ID wants served."""
REDIS_SECONDS = 2.0
LISTEN_SECONDS = 2.0


@command(rollhouse, "doctor", example="rollhouse doctor --json")
@click.pass_context
def doctor(context: click.Context) -> None:
    """Check settings, Postgres, roles, row-level security, migrations, Redis and clocks; every finding names its cure."""
    invocation = context.ensure_object(Invocation)
    settings = invocation.settings
    findings = setting_findings(settings, is_dev=invocation.environment.database_url is None)
    findings += asyncio.run(_server_findings(settings))
    words = "\n".join(f"- {finding}" for finding in findings)
    invocation.show(
        {"ok": not findings, "findings": findings}, words or "Nothing is wrong: settings, Postgres, roles, row-level security, migrations, Redis and clocks."
    )
    if findings:
        context.exit(FAILED)


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
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
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


async def _server_findings(settings: Settings) -> list[str]:
    findings = await _redis_findings(settings.redis_url) if settings.redis_url else []
    if settings.database_url is None:
        return [*findings, "there is no database; cure: set ROLLHOUSE_DATABASE_URL, or start rollhouse dev and name its folder with --data-dir"]
    database = Database(settings.database_url, connections=2)
    try:
        await database.open()
        findings += await _postgres_findings(database, settings)
        schema = await schema_findings(database)
        findings += schema
        if not schema:
            findings += await _credential_findings(database, settings)
        findings += await _clock_findings(database)
    except ScimError as error:
        cause = error.__cause__ or error
        findings.append(f"Postgres cannot be used ({type(cause).__name__}: {cause}); cure: check ROLLHOUSE_DATABASE_URL, and that the server runs")
    finally:
        await database.close()
    return findings


async def _postgres_findings(database: Database, settings: Settings) -> list[str]:
    row = (
        await database.query(
            "SELECT current_setting('server_version_num')::int, current_setting('max_connections')::int, current_setting('fsync'),"
            " current_setting('synchronous_commit'), pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'"
        )
    )[0]
    version, connections, fsync, commit, is_read_only = row
    findings = [] if version >= POSTGRES_MINIMUM else [f"Postgres is version {version // 10_000}; cure: use 15 or newer"]
    major, minor = divmod(version, 10_000)
    if minor < MENDED_MINORS.get(major, 0):
        findings.append(
            f"Postgres {major}.{minor} may apply another role's policy to a cached plan (CVE-2024-10976); cure: update to {major}.{MENDED_MINORS[major]}"
        )
    if settings.database_connections + 3 > connections:
        opens = f"one process may open {settings.database_connections} connections, and Postgres takes {connections}"
        findings.append(f"{opens}; cure: raise max_connections, or lower ROLLHOUSE_DATABASE_CONNECTIONS")
    if fsync == "off" or commit == "off":
        findings.append(
            "Postgres acknowledges writes before they are on disk, and identity providers do not repeat those; cure: fsync = on, synchronous_commit = on"
        )
    if is_read_only:
        findings.append(
            "ROLLHOUSE_DATABASE_URL leads to a server that takes no writes; cure: name the primary, or several hosts with target_session_attrs=read-write"
        )
    return findings + await _listen_findings(database)


async def _listen_findings(database: Database) -> list[str]:
    heard = asyncio.Event()
    async with database.connection() as connection:

        def hear(*_: object) -> None:
            heard.set()

        await connection.add_listener("rollhouse_doctor", hear)
        await connection.execute("NOTIFY rollhouse_doctor")
        try:
            await asyncio.wait_for(heard.wait(), LISTEN_SECONDS)
        except TimeoutError:
            return ["notifications do not arrive, so a revoked secret lives up to five seconds; cure: connect past PgBouncer, or use its session mode"]
        finally:
            await connection.remove_listener("rollhouse_doctor", hear)
    return []


async def _credential_findings(database: Database, settings: Settings) -> list[str]:
    """Live credentials whose pepper is gone can never be verified again."""
    try:
        known = Peppers.parse(settings.peppers or "").keys
    except ValueError:
        return []
    rows = await database.query("SELECT pepper_version, live FROM rollhouse.pepper_versions()")
    lacking = [(version, live) for version, live in rows if version not in known]
    cure = "cure: add it behind the current one until they have been used"
    return [f"{live} live credentials need the pepper of version {version}, which ROLLHOUSE_PEPPERS lacks; {cure}" for version, live in lacking]


async def _clock_findings(database: Database) -> list[str]:
    started = time.monotonic()
    theirs = (await database.query("SELECT clock_timestamp()"))[0][0]
    apart = abs((datetime.now(UTC) - theirs).total_seconds()) - (time.monotonic() - started)
    if apart > CLOCK_LIMIT_SECONDS:
        return [f"this machine's clock and the database's are {apart:.0f} s apart; cure: let both follow NTP"]
    return []


async def _redis_findings(url: str) -> list[str]:
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
