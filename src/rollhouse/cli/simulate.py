"""`rollhouse simulate`: plays an identity provider against a SCIM server and says whether it is fit for it."""

import asyncio
import os
import re
import secrets
import sys
from pathlib import Path
from typing import Any, Literal

import click
import msgspec

from rollhouse.simulator import SCENARIOS, Report, ScenarioRequest, UnreachableError, run_scenario

SECRET_VARIABLE = "ROLLHOUSE_SCIM_SECRET"  # noqa: S105  the name of a variable, not a secret
RUN_TAG = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")
EXIT_NOT_OK = 1


class PreconditionError(click.ClickException):
    """Something outside the command is missing: exit status 3."""

    exit_code = 3


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


@click.group()
def simulate() -> None:
    """Play an identity provider against a SCIM server."""


@simulate.command()
@click.option("--url", required=True, help="Tenant URL, as an administrator pastes it.")
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
@click.option("--real-time", is_flag=True, help="Sleep 40 minutes between cycles.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def entra(
    url: str,
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
    as_json: bool,
) -> None:
    """Be a Microsoft Entra ID tenant: provision, change, disable, delete, and compare what the server shows.

    Exit status: 0 the server is fit for the scenario; 1 an answer was incompatible or the server did not
    converge; 2 wrong usage; 3 no secret, or no server.

    \b
    Example:
      rollhouse simulate entra --url https://scim.example.com/t/contoso/scim/v2 \\
          --secret-file contoso.secret --scenario smoke --seed 7 --json
    """  # noqa: D301  click reads the backspace as "do not wrap"
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
        real_time=real_time,
    )
    report = play(request)
    click.echo(msgspec.json.encode(report.as_document()).decode() if as_json else report.as_text())
    if not report.ok:
        raise SystemExit(EXIT_NOT_OK)


def play(request: ScenarioRequest) -> Report:
    """The report of a run, with progress on stderr when that is a terminal."""
    progress = TerminalProgress() if sys.stderr.isatty() else None
    try:
        return asyncio.run(run_scenario(request, progress))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except UnreachableError as error:
        message = f"nothing answers at {request.url.partition('?')[0]} ({error}); is the server running?"
        raise PreconditionError(message) from error
    finally:
        if progress is not None:
            progress.end()


def read_secret(secret_file: Path | None, secret: str | None) -> str:
    """The secret from the file, the option or the environment, without surrounding white space.

    Raises:
        PreconditionError: there is none, or it cannot travel in a header.

    """
    if secret_file is not None:
        try:
            found = secret_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            message = f"the secret file cannot be read: {error}"
            raise PreconditionError(message) from error
    elif secret is not None:
        click.echo("warning: --secret is visible to other users of this machine; prefer --secret-file", err=True)
        found = secret
    else:
        found = os.environ.get(SECRET_VARIABLE, "")
    found = found.strip()
    if not found or not found.isascii() or not found.isprintable():
        message = f"no usable SCIM secret: give --secret-file or set {SECRET_VARIABLE}"
        raise PreconditionError(message)
    return found


def choose_run_tag(text: str | None) -> str:
    """The given run tag, or six random hexadecimal digits."""
    if text is None:
        return secrets.token_hex(3)
    if not RUN_TAG.fullmatch(text):
        message = "--run-tag takes 1 to 20 lower-case letters, digits and inner hyphens"
        raise click.UsageError(message)
    return text
