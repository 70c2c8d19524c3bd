"""`rollhouse conformance`: holds a SCIM server to the RFCs and prints the table of requirement, section and verdict."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import click

from rollhouse.cli.invocation import FAILED, Invocation, Precondition, command, pass_invocation
from rollhouse.cli.root import rollhouse
from rollhouse.cli.simulate import demo_tenant, read_secret
from rollhouse.conformance.probe import Unreachable
from rollhouse.conformance.report import Report, as_table
from rollhouse.conformance.run import run_checks, wanted
from rollhouse.conformance.suites import run_suites


@command(rollhouse, "conformance", example="rollhouse conformance --url https://scim.example.com/t/contoso/scim/v2 --secret-file contoso.secret")
@click.option("--url", help="Tenant URL [default: the demo tenant of `rollhouse dev`].")
@click.option("--secret-file", type=click.Path(path_type=Path, dir_okay=False), help="File with the SCIM secret.")
@click.option("--secret", help="The SCIM secret itself; others on this machine can see it.")
@click.option("--only", default="", metavar="ID", help="Only requirements whose id begins so, such as 7644-3.5; the suites of others are left out then.")
@pass_invocation
def conformance(invocation: Invocation, url: str | None, secret_file: Path | None, secret: str | None, only: str) -> None:
    """Hold a SCIM server to what RFC 7643, 7644 and 9865 require of it, and run scim2-tester and scim-sanity where they are installed.

    It makes resources and deletes them again: use a tenant for tests, of ours one that is strict (`rollhouse tenant profile SLUG --strict`).
    The tenant's limit is waited for: without one (`rollhouse tenant set-limit SLUG --rate 0 --burst 200`) a run takes seconds, with ours two minutes.
    What such a tenant does otherwise than required, and why, stands in docs/conformance-report.md.
    Exit code 1 if a MUST is broken.
    """
    if not wanted(only):
        raise click.BadParameter(f"no requirement has an id that begins with {only!r}", param_hint="--only")
    if url is None:
        url, secret_file = demo_tenant(invocation, secret_file, secret)
    report = _run(url, read_secret(secret_file, secret), only)
    invocation.show(report, as_table(report))
    if not report.is_conformant:
        raise click.exceptions.Exit(FAILED)


def _run(url: str, secret: str, only: str) -> Report:
    count = len(wanted(only))
    with click.progressbar(length=count, label="Requirements", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

        async def work() -> Report:
            verdicts = await run_checks(url, secret, only=only, progress=lambda: _advance(bar))
            return Report(url, verdicts, [] if only else await run_suites(url, secret))

        try:
            return asyncio.run(work())
        except Unreachable as error:
            raise Precondition(f"{error}\nCheck the URL and the secret.") from None


def _advance(bar: Any) -> None:
    bar.update(1)
