"""`rollhouse simulate`: plays an identity provider against a SCIM server and says whether it is fit for it."""

import asyncio
import os
import re
import secrets
import sys
from pathlib import Path
from typing import Any, Literal

import click

from rollhouse.cli.invocation import FAILED, Invocation, Precondition, command, group, pass_invocation
from rollhouse.cli.root import rollhouse
from rollhouse.simulator import SCENARIOS, Report, ScenarioRequest, UnreachableError, run_scenario

SECRET_VARIABLE = "ROLLHOUSE_SCIM_SECRET"  # noqa: S105  the name of a variable, not a secret
RUN_TAG = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")
DEMO_SECRET = Path("private") / "demo-secret"


class TerminalProgress:
    """A progress bar on stderr, one for each phase."""

    def __init__(self) -> None:
        self._bar: Any = None

    def begin(self, label: str, total: int) -> None:
        """Finish the bar of the last phase and start one for this."""
        self.end()
        if total:
            self._bar = click.progressbar(length=total, label=label, file=sys.stderr)
            self._bar.__enter__()

    def advance(self) -> None:
        """One step is done."""
        if self._bar is not None:
            self._bar.update(1)

    def end(self) -> None:
        """Leave the last bar as it is."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None


@group(rollhouse, "simulate")
def simulate() -> None:
    """Play an identity provider against a SCIM server."""


@command(simulate, "entra", example="rollhouse simulate entra --url https://scim.example.com/t/contoso/scim/v2 --secret-file contoso.secret --scenario smoke")
@click.option("--url", help="Tenant URL, as an administrator pastes it [default: the demo tenant of `rollhouse dev`].")
@click.option("--secret-file", type=click.Path(path_type=Path, dir_okay=False), help="File with the SCIM secret.")
@click.option("--secret", help="The SCIM secret itself; others on this machine can see it.")
@click.option("--scenario", type=click.Choice(list(SCENARIOS)), default="smoke", show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed and run tag: same requests.")
@click.option("--run-tag", help="Part of every generated name; random by default, printed in the report.")
@click.option("--dialect", type=click.Choice(["legacy", "flag", "mixed"]), default="mixed", show_default=True)
@click.option("--rate", type=click.FloatRange(min=0), default=25.0, show_default=True, help="Per second; 0: no cap.")
@click.option("--scale", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True)
@click.option("--members-per-patch", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--workers", type=click.IntRange(1, 1000), default=8, show_default=True, help="Users in flight.")
@click.option("--group-workers", type=click.IntRange(1, 1000), default=6, show_default=True)
@click.option("--members", type=click.IntRange(min=1), help="Members of bigGroup; 50000 times the scale by default.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True)
@click.option("--real-time", is_flag=True, help="Sleep between cycles as long as Entra ID does, as a rule 40 minutes.")
@pass_invocation
def entra(
    invocation: Invocation,
    url: str | None,
    secret_file: Path | None,
    secret: str | None,
    scenario: str,
    seed: int,
    run_tag: str | None,
    dialect: Literal["legacy", "flag", "mixed"],
    rate: float,
    scale: float,
    members_per_patch: int,
    workers: int,
    group_workers: int,
    members: int | None,
    timeout: float,
    *,
    real_time: bool,
) -> None:
    """Be a Microsoft Entra ID tenant: provision, change, disable, delete, and compare what the server shows.

    Exit status: 0 the server is fit for the scenario; 1 an answer was incompatible or the server did not
    converge; 2 wrong usage; 3 no secret, or no server.
    """
    if url is None:
        url, secret_file = demo_tenant(invocation, secret_file, secret)
    request = ScenarioRequest(
        url=url,
        secret=read_secret(secret_file, secret),
        scenario=scenario,
        seed=seed,
        run_tag=choose_run_tag(run_tag),
        dialect=dialect,
        rate_per_second=rate,
        scale=scale,
        members_per_patch=members_per_patch,
        user_workers=workers,
        group_workers=group_workers,
        members=members or 0,
        timeout_seconds=timeout,
        pause_seconds=None if real_time else 0.0,
    )
    report = play(request)
    invocation.show(report.as_document(), report.as_text())
    if not report.ok:
        raise click.exceptions.Exit(FAILED)


def demo_tenant(invocation: Invocation, secret_file: Path | None, secret: str | None) -> tuple[str, Path | None]:
    """The URL of the demo tenant of a running `rollhouse dev`, and the file with its secret if no other secret is given.

    Raises:
        Precondition: no `rollhouse dev` has made a demo tenant here.
    """
    settings = invocation.settings
    kept = Path(settings.data_dir) / DEMO_SECRET
    if settings.public_url is None or not kept.exists():
        raise Precondition("No --url is given, and no `rollhouse dev` has made a demo tenant here; name its folder with --data-dir DIR.")
    other = secret_file is not None or secret is not None or SECRET_VARIABLE in os.environ
    return f"{settings.public_url.rstrip('/')}/t/demo/scim/v2", secret_file if other else kept


def play(request: ScenarioRequest) -> Report:
    """The report of a run, with progress on stderr when that is a terminal."""
    progress = TerminalProgress() if sys.stderr.isatty() else None
    try:
        return asyncio.run(run_scenario(request, progress))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except UnreachableError as error:
        message = f"nothing answers at {request.url.partition('?')[0]} ({error}); is the server running?"
        raise Precondition(message) from error
    finally:
        if progress is not None:
            progress.end()


def read_secret(secret_file: Path | None, secret: str | None) -> str:
    """The secret from the file, the option or the environment, without surrounding white space.

    Raises:
        Precondition: there is none, or it cannot travel in a header.

    """
    if secret_file is not None:
        try:
            found = secret_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            message = f"the secret file cannot be read: {error}"
            raise Precondition(message) from error
    elif secret is not None:
        click.echo("warning: --secret is visible to other users of this machine; prefer --secret-file", err=True)
        found = secret
    else:
        found = os.environ.get(SECRET_VARIABLE, "")
    found = found.strip()
    if not found or not found.isascii() or not found.isprintable():
        where = f"{secret_file} holds no single secret" if secret_file is not None else "no usable SCIM secret"
        message = f"{where}: give --secret-file with a file that holds the secret alone, or set {SECRET_VARIABLE}"
        raise Precondition(message)
    return found


def choose_run_tag(text: str | None) -> str:
    """The given run tag, or six random hexadecimal digits."""
    if text is None:
        return secrets.token_hex(3)
    if not RUN_TAG.fullmatch(text):
        message = "--run-tag takes 1 to 20 lower-case letters, digits and inner hyphens"
        raise click.UsageError(message)
    return text
