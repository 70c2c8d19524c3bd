"""`rollhouse dev`: the whole service on one machine with nothing to set up; real Postgres, a demo tenant, everything ended together."""

import asyncio
import fcntl
import multiprocessing
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import click
import msgspec
from redis import Redis
from redis.exceptions import RedisError

from rollhouse.cli.embedded import EmbeddedPostgres, embedded_programs
from rollhouse.cli.invocation import Invocation, Precondition, command, pass_invocation, program
from rollhouse.cli.redis import RedisServer, redis_program
from rollhouse.cli.root import rollhouse
from rollhouse.cli.serve import require_free, serve_until_stopped, with_address
from rollhouse.database.migrations import migrate
from rollhouse.database.pool import Database
from rollhouse.journal.audit import cause_of
from rollhouse.scim.errors import NotFound
from rollhouse.settings import Settings
from rollhouse.tenancy import credentials, people, sessions, tenants
from rollhouse.tenancy.secrets import Peppers, new_pepper
from rollhouse.tenancy.sessions import Person

DEMO_SLUG = "demo"
DEV_CYCLE_GAP_SECONDS = 3
DEV_OPERATOR = "operator@localhost.localdomain"


@command(rollhouse, "dev", example="rollhouse dev --data-dir .rollhouse --port 8080 --metrics-port 9090")
@click.option("--host", help="Address to listen on [default: 127.0.0.1].")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of SCIM and the probes [default: 8080].")
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Port of /metrics [default: 9090].")
@click.option("--no-demo", is_flag=True, help="Make no demo tenant.")
@click.option("--redis", "with_redis", is_flag=True, help="Start a Redis too, and count the rate limits in it.")
@pass_invocation
def dev(invocation: Invocation, host: str | None, port: int | None, metrics_port: int | None, *, no_demo: bool, with_redis: bool) -> None:
    """Run everything here: embedded Postgres, migrations, a demo tenant, the service. For development only.

    Keeps its data in the data dir and finds it again at the next start; uses ROLLHOUSE_DATABASE_URL or ROLLHOUSE_REDIS_URL where they are set.
    """
    signal.signal(signal.SIGTERM, _stop)
    folder = Path(invocation.settings.data_dir).absolute()
    invocation.data_dir = folder
    settings = with_address(invocation.settings, host, port, metrics_port)
    for wanted in (settings.port, settings.metrics_port):
        require_free(settings.host, wanted)
    lock: TextIO | None = None
    redis = _redis(invocation, folder) if with_redis else None
    server = None if invocation.environment.database_url is not None else EmbeddedPostgres(folder / "pg", embedded_programs())
    try:
        if server is not None:
            invocation.say(f"Starting Postgres in {server.folder} ...")
            server.prepare()
            lock = _hold(folder)
            server.start()
        if redis is not None:
            invocation.say(f"Starting Redis in {redis.folder} ...")
            redis.prepare()
            lock = lock or _hold(folder)
            redis.start()
            settings = msgspec.structs.replace(settings, redis_url=redis.url)
        settings = _prepare(invocation, settings, folder, server)
        demo = None if no_demo else asyncio.run(_demo(settings, folder))
        portal = asyncio.run(_portal_link(settings))
        # A process, not a thread: the server forks its worker, and a fork among threads can inherit a lock for ever.
        multiprocessing.get_context("fork").Process(target=_announce, args=(invocation, settings, demo, portal), daemon=True).start()
        serve_until_stopped(settings)
    except KeyboardInterrupt:
        pass
    finally:
        if lock is not None:
            for one in (redis, server):
                if one is not None:
                    one.stop()
            lock.close()
    invocation.say("Stopped; the data stays.")


def _redis(invocation: Invocation, folder: Path) -> RedisServer:
    """The Redis to start.

    Raises:
        UsageError: another one is named already.
        Precondition: there is no program of it.
    """
    if invocation.environment.redis_url is not None:
        raise click.UsageError("--redis and ROLLHOUSE_REDIS_URL name two servers: leave out one of them.")
    return RedisServer(folder / "redis", redis_program())


def _stop(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _hold(folder: Path) -> TextIO:
    """The data dir's lock, held until it is closed: two `dev` on one folder would end each other's Postgres.

    Raises:
        Precondition: another process holds it.
    """
    lock = (folder / "dev.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        owner = lock.read().strip() or "another process"
        lock.close()
        raise Precondition(f"`rollhouse dev` ({owner}) uses {folder} already: end it, or choose another --data-dir.") from None
    lock.truncate(0)
    lock.write(f"process {os.getpid()}")
    lock.flush()
    return lock


def _prepare(invocation: Invocation, settings: Settings, folder: Path, server: EmbeddedPostgres | None) -> Settings:
    """The settings completed, the private folder written, and the database migrated."""
    private = folder / "private"
    private.mkdir(mode=0o700, parents=True, exist_ok=True)
    private.chmod(0o700)
    peppers = settings.peppers or new_pepper()
    values = {
        "database_url": server.url("rollhouse_app") if server is not None else settings.database_url,
        "migration_database_url": server.url("rollhouse_migrator") if server is not None else settings.migration_database_url,
        "public_url": invocation.environment.public_url or f"http://{settings.host}:{settings.port}",
        "peppers": peppers,
    }
    _write_private(private / "dev.json", msgspec.json.encode({name: value for name, value in values.items() if value is not None}))
    if values["migration_database_url"] is not None:
        asyncio.run(migrate(values["migration_database_url"]))
    # A demonstration is over in minutes: two of its cycles are seconds apart, not Entra ID's 40 minutes.
    gap = settings.cycle_gap_seconds if "ROLLHOUSE_CYCLE_GAP_SECONDS" in os.environ else DEV_CYCLE_GAP_SECONDS
    is_read_by_people = sys.stderr.isatty() and "ROLLHOUSE_LOG_FORMAT" not in os.environ
    form = "console" if is_read_by_people else settings.log_format
    return msgspec.structs.replace(settings, **values, cycle_gap_seconds=gap, log_format=form)


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


async def _demo(settings: Settings, folder: Path) -> tuple[str, str]:
    """The demo tenant's SCIM URL and secret, made at the first start and kept in the private folder."""
    kept = folder / "private" / "demo-secret"
    database = Database(settings.database_url or "", connections=1)
    cause = cause_of("cli")
    await database.open()
    try:
        try:
            tenant = await tenants.find_tenant(database, DEMO_SLUG)
        except NotFound:
            tenant = await tenants.create_tenant(database, DEMO_SLUG, "Demo", cause=cause)
            kept.unlink(missing_ok=True)
        if not kept.exists():
            made = await credentials.create_secret(database, Peppers.parse(settings.peppers or ""), tenant, cause=cause, label="made by rollhouse dev")
            _write_private(kept, made.minted.secret.encode())
    finally:
        await database.close()
    return f"{settings.public_url}{tenant.path}", kept.read_text()


async def _portal_link(settings: Settings) -> str:
    """A link that signs the operator of this machine in to the portal, once."""
    database = Database(settings.database_url or "", connections=1)
    await database.open()
    try:
        operator = await people.ensure_operator(database, DEV_OPERATOR, cause=cause_of("cli"))
        return f"{settings.public_url}/signin/link/{await sessions.create_sign_in_link(database, Person(operator_id=operator.id))}"
    finally:
        await database.close()


def _announce(invocation: Invocation, settings: Settings, demo: tuple[str, str] | None, portal: str) -> None:
    """Print where everything is as soon as the service is ready."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    base = f"http://{settings.host}:{settings.port}"
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{base}/readyz", timeout=2):  # noqa: S310 - our own address
                break
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    limits = _where_limits_are_counted(settings.redis_url)
    data: dict[str, Any] = {
        "url": base,
        "portal_url": portal,
        "metrics_url": f"http://{settings.host}:{settings.metrics_port}/metrics",
        "data_dir": settings.data_dir,
    }
    words = [
        f"Rollhouse is ready at {base} (metrics on port {settings.metrics_port}).",
        f"Portal: {portal} (signs you in once; another one: {program()} operator link {DEV_OPERATOR})",
        f"Rate limits: {settings.rate_per_second}/s, burst {settings.burst}, {limits}.",
    ]
    if demo is not None:
        url, secret = demo
        data |= {"tenant_url": url, "secret": secret}
        words += [
            "",
            f"  Tenant URL    {url}",
            f"  Secret token  {secret}",
            "",
            "Try it:",
            f"  curl -s -H 'Authorization: Bearer {secret}' {url}/Users",
            f"  {program()} demo entra    (a simulated Entra ID provisions the demo tenant; look at it in the portal)",
            "",
            "Ctrl-C ends it; the data stays.",
        ]
    invocation.show(data, "\n".join(words))


def _where_limits_are_counted(redis_url: str | None) -> str:
    if redis_url is None:
        return "counted in this process"
    try:
        with Redis.from_url(redis_url, socket_timeout=1, socket_connect_timeout=1) as redis:
            redis.ping()
    except (RedisError, OSError):
        return "counted in this process, because the Redis of ROLLHOUSE_REDIS_URL does not answer"
    return "counted in Redis"
