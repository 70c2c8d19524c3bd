"""`rollhouse worker`: the background process, beside the processes that serve."""

import asyncio

import click

from rollhouse.activity.notices import Post
from rollhouse.cli.invocation import Invocation, Precondition, command, pass_invocation
from rollhouse.cli.root import rollhouse
from rollhouse.cli.serve import require_free
from rollhouse.database.pool import Database
from rollhouse.journal.sealing import AuditKey
from rollhouse.limits.gcra import connect
from rollhouse.settings import Settings
from rollhouse.telemetry.logs import write_in
from rollhouse.telemetry.metrics import serve_metrics
from rollhouse.worker.process import Pulse, work_until_stopped

CONNECTIONS = 4
"""To Postgres, of one worker."""


@command(rollhouse, "worker", example="rollhouse worker --metrics-port 9091")
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Port of /metrics [default: 9091].")
@pass_invocation
def worker(invocation: Invocation, metrics_port: int | None) -> None:
    """Seal the audit, purge deleted tenants, delete what has expired. Needs ROLLHOUSE_DATABASE_URL and ROLLHOUSE_AUDIT_KEY; any number may run.

    It waits for a database that is away or not migrated yet; /livez and /readyz on the port of the metrics say how it is.
    """
    settings = invocation.settings
    key = audit_key(invocation)
    port = metrics_port or settings.worker_metrics_port
    require_free(settings.host, port)

    if settings.database_url is None:
        raise Precondition("There is no database: start `rollhouse dev` first, name its folder with --data-dir DIR, or set ROLLHOUSE_DATABASE_URL.")
    database, limiter, post, pulse = Database(settings.database_url, connections=CONNECTIONS), connect(settings.redis_url), _post(settings), Pulse()
    write_in(settings.log_format)
    serve_metrics(settings.host, port, probes={"/livez": pulse.life, "/readyz": pulse.readiness})
    asyncio.run(work_until_stopped(database, key, limiter, request_log_days=settings.request_log_days, pulse=pulse, post=post))


def _post(settings: Settings) -> Post | None:
    """Where notices are sent by, if anywhere.

    Raises:
        Precondition: the mail server's URL cannot be used.
    """
    if settings.smtp_url is None:
        return None
    try:
        return Post.parse(settings.smtp_url, settings.mail_from, settings.public_url or "")
    except ValueError as error:
        raise Precondition(f"ROLLHOUSE_SMTP_URL cannot be used: {error}") from None


def audit_key(invocation: Invocation) -> AuditKey:
    """The key that signs the audit's roots.

    Raises:
        Precondition: it is not set, or is no key.
    """
    text = invocation.settings.audit_key
    if text is None:
        raise Precondition("ROLLHOUSE_AUDIT_KEY is not set: make a key with `rollhouse audit key`, and give it to every worker.")
    try:
        return AuditKey.parse(text)
    except ValueError as error:
        raise Precondition(f"ROLLHOUSE_AUDIT_KEY cannot be used: {error}") from None
