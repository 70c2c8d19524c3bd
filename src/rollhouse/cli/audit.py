"""`rollhouse audit`: verifying and reading the audit, and making the key that seals it."""

from collections import deque
from pathlib import Path

import click

from rollhouse.cli.invocation import FAILED, Invocation, Precondition, command, group, pass_invocation
from rollhouse.cli.root import rollhouse
from rollhouse.cli.worker import audit_key
from rollhouse.database.pool import Database
from rollhouse.journal.audit import PLATFORM, Entry, newest_entries
from rollhouse.journal.sealing import AuditKey, key_id, new_audit_key, read_public_key
from rollhouse.journal.verification import PublicKeys, Report, verify_tenant
from rollhouse.tenancy.tenants import find_tenant, list_tenants

PLATFORM_NAME = "(platform)"
"""Stands for the audit of effects that belong to no tenant; no slug can look so."""


@group(rollhouse, "audit")
def audit() -> None:
    """Verify and list the audit, and make the key that seals it."""


@command(audit, "verify", example="rollhouse audit verify --all --anchor worker.log")
@click.argument("slug", required=False)
@click.option("--all", "is_all", is_flag=True, help="Verify every tenant, and the audit of what belongs to none.")
@click.option("--anchor", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Log of the workers, kept elsewhere: shows also a cut-off end.")
@click.option("--public-key", "public_keys", multiple=True, help="A key that may have signed; may be repeated. Default: that of ROLLHOUSE_AUDIT_KEY.")
@pass_invocation
def verify(invocation: Invocation, slug: str | None, *, is_all: bool, anchor: Path | None, public_keys: tuple[str, ...]) -> int:
    """Verify that the audit is as it was sealed; name the first broken row and exit with 1 otherwise."""
    if is_all == (slug is not None):
        raise click.UsageError("Name one tenant, or give --all.")
    keys = _public_keys(invocation, public_keys)

    async def work(database: Database) -> dict[str, Report]:
        found = await list_tenants(database) if slug is None else [await find_tenant(database, slug)]
        names = {one.slug: one.id for one in found} | ({PLATFORM_NAME: PLATFORM} if slug is None else {})
        return {name: await verify_tenant(database, keys, tenant_id, anchor=anchor) for name, tenant_id in names.items()}

    reports: dict[str, Report] = invocation.run(work)
    lines = [_verdict(name, report, is_anchored=anchor is not None) for name, report in reports.items()]
    invocation.show([{"slug": name, "report": report} for name, report in reports.items()], "\n".join(lines))
    return FAILED if any(report.broken is not None for report in reports.values()) else 0


@command(audit, "list", example="rollhouse audit list acme --limit 20")
@click.argument("slug")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many entries, the newest.")
@pass_invocation
def list_(invocation: Invocation, slug: str, limit: int) -> None:
    """List the newest entries of a tenant's audit: who did what to which attributes and members, by which request.

    "(platform)" stands for the audit of what belongs to no tenant: operators' keys, purged tenants.
    """

    async def work(database: Database) -> list[Entry]:
        tenant_id = PLATFORM if slug == PLATFORM_NAME else (await find_tenant(database, slug)).id
        newest: deque[Entry] = deque()
        before = None
        async with database.transaction(tenant_id) as tx:
            while len(newest) < limit and (page := await newest_entries(tx, before=before, limit=limit - len(newest))):
                newest.extendleft(page)
                before = page[-1].id
        return list(newest)

    found: list[Entry] = invocation.run(work)
    data = [
        {
            "id": one.id,
            "at": one.at,
            "actor": one.actor,
            "action": one.action,
            "target_type": one.target_type,
            "target_id": one.target_id,
            "attributes": one.attributes,
            "added": one.added,
            "removed": one.removed,
            "request_id": one.request_id,
        }
        for one in found
    ]
    invocation.show(data, "\n".join(_line(one) for one in found) or f"The audit of {slug} is empty.")


@command(audit, "key", example="rollhouse audit key")
@pass_invocation
def key(invocation: Invocation) -> None:
    """Make a key that seals the audit, and show it this once with its public half."""
    text = new_audit_key()
    made = AuditKey.parse(text)
    words = f"ROLLHOUSE_AUDIT_KEY={text}\n  Public key  {made.public}\n  Key id      {made.id}\nKeep the first line secret. The public key verifies the audit."
    invocation.show({"audit_key": text, "public_key": made.public, "key_id": made.id}, words)


def _public_keys(invocation: Invocation, texts: tuple[str, ...]) -> PublicKeys:
    """The keys by id.

    Raises:
        Precondition: none is given or set.
        BadParameter: a text is no key.
    """
    if not texts:
        if invocation.settings.audit_key is None:
            raise Precondition("No key to verify with: give --public-key (see the output of `rollhouse audit key`), or set ROLLHOUSE_AUDIT_KEY.")
        texts = (audit_key(invocation).public,)
    try:
        return {key_id(public): public for public in map(read_public_key, texts)}
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--public-key") from None


def _verdict(name: str, report: Report, *, is_anchored: bool) -> str:
    counts = f"{report.rows} rows, {report.sealed} sealed, {report.unsealed} not sealed yet"
    if report.late:
        counts += f", {report.late} sealed more than a minute late"
    if is_anchored:
        counts += f", {report.anchored} roots of the anchor compared"
    if report.broken is None:
        return f"{name:<24} intact: {counts}"
    where = f"row {report.broken.audit_id or '-'}, position {report.broken.position or '-'}"
    return f"{name:<24} BROKEN at {where}: {report.broken.what} ({counts})"


def _line(one: Entry) -> str:
    attributes = ",".join(one.attributes) or "-"
    members = f"members +{len(one.added)} -{len(one.removed)}"
    return f"{one.at:%Y-%m-%d %H:%M:%S}  {one.actor}  {one.action}  {one.target_type} {one.target_id}  {attributes}  {members}  request {one.request_id}"
