"""What every command shares: --json and --data-dir before or after the verb, settings, output, and exit codes."""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import msgspec

from rollhouse.database.pool import Database
from rollhouse.journal.audit import Cause, cause_of
from rollhouse.scim.errors import InternalError, InvalidValue, ScimError, Unavailable
from rollhouse.settings import Settings, SettingsError, read_settings
from rollhouse.telemetry.logs import log_fault
from rollhouse.tenancy.secrets import Peppers

FAILED = 1
USAGE = 2
PRECONDITION = 3


def program() -> str:
    """How this program was called, so that a command that is printed can be pasted."""
    return "rollhouse" if shutil.which("rollhouse") else sys.argv[0]


class Precondition(click.ClickException):
    """Something must be done before the command can work; the message says what."""

    exit_code = PRECONDITION


class Invocation:
    """One run of the command."""

    def __init__(self) -> None:
        self.as_json = False
        self.data_dir: Path | None = None

    @cached_property
    def environment(self) -> Settings:
        """The settings of the environment alone."""
        return read_settings(os.environ)

    @property
    def settings(self) -> Settings:
        """The environment's settings, completed by what `rollhouse dev` left in the data dir."""
        settings = self.environment
        folder = self.data_dir or Path(settings.data_dir)
        left = folder / "private" / "dev.json"
        try:
            values: dict[str, str] = msgspec.json.decode(left.read_bytes())
        except (OSError, msgspec.DecodeError):
            values = {}
        missing = {name: value for name, value in values.items() if getattr(settings, name) is None}
        return msgspec.structs.replace(settings, data_dir=str(folder), **missing)

    @property
    def peppers(self) -> Peppers:
        """The keys for the MACs of secrets."""
        text = self.settings.peppers
        if text is None:
            raise Precondition("ROLLHOUSE_PEPPERS is not set, and no `rollhouse dev` has made a data dir here. Set it, or name the folder: --data-dir DIR")
        try:
            return Peppers.parse(text)
        except ValueError as error:
            raise Precondition(f"ROLLHOUSE_PEPPERS cannot be used: {error}") from None

    @cached_property
    def cause(self) -> Cause:
        """Who does what this command does, for the audit."""
        return cause_of("cli")

    def run(self, work: Callable[[Database], Coroutine[Any, Any, Any]]) -> Any:
        """What `work` returns, given the open database."""
        url = self.settings.database_url
        if url is None:
            raise Precondition("There is no database: start `rollhouse dev` first, name its folder with --data-dir DIR, or set ROLLHOUSE_DATABASE_URL.")

        async def connected() -> Any:
            database = Database(url, connections=4)
            try:
                await database.open()
            except Unavailable as error:
                raise Precondition(self._why_unreachable(error.__cause__ or error)) from None
            try:
                return await work(database)
            finally:
                await database.close()

        return asyncio.run(connected())

    def _why_unreachable(self, cause: BaseException) -> str:
        if self.environment.database_url is None:
            return f"`rollhouse dev` is not running in {self.settings.data_dir}: start it, or name another folder with --data-dir DIR."
        return f"Postgres cannot be reached ({type(cause).__name__}: {cause}): check ROLLHOUSE_DATABASE_URL, and that the server runs."

    def show(self, data: object, words: str) -> None:
        """Print `data` as one JSON document with --json, else the words, on stdout."""
        click.echo(msgspec.json.encode(data).decode() if self.as_json else words)

    def say(self, words: str) -> None:
        """Print words for people on stderr."""
        click.echo(words, err=True)


pass_invocation = click.make_pass_decorator(Invocation, ensure=True)


def _remember_json(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click passes it so
    if value:
        context.ensure_object(Invocation).as_json = True


def _remember_data_dir(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.ensure_object(Invocation).data_dir = value


def _shared(function: Any) -> Any:
    data_dir = click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        expose_value=False,
        callback=_remember_data_dir,
        help="Folder of `rollhouse dev` [default: .rollhouse].",
    )
    as_json = click.option("--json", is_flag=True, expose_value=False, callback=_remember_json, help="Print JSON on stdout, words on stderr.")
    return data_dir(as_json(function))


def command(group: click.Group, name: str, *, example: str) -> Callable[[Any], Any]:
    """A decorator that makes a command of a function, with the shared options and an example in its help."""

    def decorate(function: Any) -> Any:
        return group.command(name, epilog=f"Example: {example}")(_shared(function))

    return decorate


def group(parent: click.Group | None, name: str, *, cls: type[click.Group] = click.Group) -> Callable[[Any], click.Group]:
    """A decorator that makes a group of commands of a function, with the shared options."""

    def decorate(function: Any) -> click.Group:
        make = parent.group(name, cls=cls) if parent is not None else click.group(name, cls=cls)
        made: click.Group = make(_shared(function))
        return made

    return decorate


def moment_of(text: str | None) -> datetime | None:
    """The moment that --expires names: a date, a time, or days from now; None without it.

    Raises:
        BadParameter: it is none of these, or it has passed.
    """
    if text is None:
        return None
    try:
        if text.endswith("d") and text[:-1].isdecimal():
            if int(text[:-1]) == 0:
                raise click.BadParameter("0d has passed already", param_hint="--expires")
            return datetime.now(UTC) + timedelta(days=int(text[:-1]))
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is no date, time or number of days", param_hint="--expires") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        moment.astimezone(UTC)
    except OverflowError:
        raise click.BadParameter(f"{text!r} is out of the years 1 to 9999 in UTC", param_hint="--expires") from None
    if moment <= datetime.now(UTC):
        raise click.BadParameter(f"{text!r} has passed", param_hint="--expires")
    return moment


def past_of(text: str) -> datetime:
    """The past moment that --since names: a date or a time, in UTC unless it says otherwise.

    Raises:
        BadParameter: it is neither, or it has not come yet.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no date or time; give one such as 2027-06-30T12:00:00Z", param_hint="--since") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment > datetime.now(UTC):
        raise click.BadParameter(f"{text!r} has not come yet", param_hint="--since")
    return moment


def guarded(run: Callable[[], Any]) -> None:
    """Run the command and end the process: 0 done, 1 failed, 2 wrong usage, 3 something must be done first."""
    try:
        result = run()
        sys.exit(result if isinstance(result, int) else 0)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (SettingsError, Unavailable) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(PRECONDITION)
    except InvalidValue as error:
        click.echo(f"Error: {error.detail}", err=True)
        sys.exit(USAGE)
    except ScimError as error:
        if isinstance(error, InternalError):
            log_fault("cli.fault", error)
        click.echo(f"Error: {error.detail}", err=True)
        sys.exit(FAILED)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
