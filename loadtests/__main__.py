"""`python -m loadtests`: makes tenants ready, runs a load profile on them, and says whether the service held it."""

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from loadtests.admin import AdminApi, AdminError, delete_tenants, prepare_seats
from loadtests.keys import NoKeyError, operator_key
from loadtests.picture import draw_picture
from loadtests.plan import Plan, read_plan, result_path, write_plan
from loadtests.processes import PORT, join, lead, log_path
from loadtests.profiles import PROFILES
from loadtests.verdict import Measured, Verdict, judge

FAILED = 1
EXAMPLE = "Example: python -m loadtests --profile baseline --url http://127.0.0.1:8080 --tenants 5 --minutes 1"
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(epilog=EXAMPLE)
@click.option("--profile", type=click.Choice(list(PROFILES)), help="What to send.")
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="Address of the service, without a path.")
@click.option("--tenants", type=click.IntRange(min=1), default=5, show_default=True, help="How many tenants take part.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True, help="How long.")
@click.option("--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes that send, on this machine; 0: one does everything.")
@click.option("--remote-workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes on other machines to wait for (see --join).")
@click.option("--join", "leader", metavar="HOST", help="Send for the run that HOST leads, by its plan file, and do nothing else.")
@click.option(
    "--plan", "plan_file", type=FILE, default=Path(".loadtests/plan.json"), show_default=True, help="Private file with the tenants and their secrets."
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".rollhouse"),
    show_default=True,
    help="Folder of `make run`, where an operator's key is made if ROLLHOUSE_OPERATOR_KEY is not set.",
)
@click.option("--json", "json_file", type=FILE, help="Write the result as JSON.")
@click.option("--picture", type=FILE, help="Write throughput and latency over time as SVG.")
@click.option("--delete", is_flag=True, help="Delete the tenants of load tests afterwards; without --profile: only that.")
def main(
    profile: str | None,
    url: str,
    tenants: int,
    minutes: float,
    workers: int,
    remote_workers: int,
    leader: str | None,
    plan_file: Path,
    data_dir: Path,
    json_file: Path | None,
    picture: Path | None,
    *,
    delete: bool,
) -> None:
    """Send the load of many Entra ID tenants to a Rollhouse and judge the answers.

    Exit status: 0 the profile's pass condition is met; 1 it is not, or the service does not answer; 2 wrong usage.
    """
    if leader is not None:
        sys.exit(join(_readable(plan_file), leader))
    if profile is None and not delete:
        raise click.UsageError(f"Name a --profile: {', '.join(PROFILES)}.")
    if profile is not None and tenants < PROFILES[profile].fewest_tenants:
        raise click.UsageError(f"{profile} needs at least {PROFILES[profile].fewest_tenants} tenants.")
    try:
        verdict = None
        if profile is not None:
            plan = _prepare(profile, url, tenants, minutes, plan_file, data_dir)
            verdict = _run(plan, plan_file, workers, remote_workers)
            _write(verdict, json_file, picture)
            click.echo(verdict.as_text())
        if delete:
            with operator_key(data_dir) as key:
                click.echo(f"Deleted {delete_tenants(AdminApi(url, key))} tenants.", err=True)
            plan_file.unlink(missing_ok=True)
    except NoKeyError as error:
        raise click.UsageError(str(error)) from None
    except AdminError as error:
        raise click.ClickException(str(error)) from None
    if verdict is not None and not verdict.passed:
        sys.exit(FAILED)


def _prepare(profile: str, url: str, tenants: int, minutes: float, plan_file: Path, data_dir: Path) -> Plan:
    """The plan with every tenant ready, written for the processes that will send."""
    earlier = _readable_plan(plan_file)
    click.echo(f"Making {tenants} tenants ready at {url} ...", err=True)
    with operator_key(data_dir) as key:
        seats = prepare_seats(AdminApi(url, key), PROFILES[profile], tenants, earlier)
    plan = Plan(profile, url.rstrip("/"), minutes * 60, seats)
    write_plan(plan_file, plan)
    return plan


def _readable_plan(plan_file: Path) -> Plan | None:
    """The plan of an earlier run, whose secrets may still work."""
    try:
        return read_plan(plan_file)
    except (OSError, msgspec.MsgspecError):
        return None


def _readable(plan_file: Path) -> Path:
    if _readable_plan(plan_file) is None:
        raise click.UsageError(f"{plan_file} holds no plan: copy it from the machine that leads, or name it with --plan.")
    return plan_file


def _run(plan: Plan, plan_file: Path, workers: int, remote_workers: int) -> Verdict:
    """What came out of a run.

    Raises:
        ClickException: locust left no result.
    """
    click.echo(f"{plan.profile.purpose} {len(plan.seats)} tenants, {plan.seconds:.0f} s ...", err=True)
    if remote_workers:
        click.echo(f"Waiting on port {PORT}. Copy {plan_file} to the other machines, and run {remote_workers} times there:", err=True)
        click.echo(f"  python -m loadtests --join HOST_OF_THIS_MACHINE --plan {plan_file.name}", err=True)
    if not lead(plan_file, workers=workers, remote_workers=remote_workers):
        raise click.ClickException(f"locust ended without a result; what it said is in {log_path(plan_file)}.")
    left = result_path(plan_file)
    measured = msgspec.json.decode(left.read_bytes(), type=Measured)
    left.unlink()
    return judge(plan, measured)


def _write(verdict: Verdict, json_file: Path | None, picture: Path | None) -> None:
    document: dict[str, Any] = verdict.as_document()
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1))
    if picture is not None:
        picture.write_text(draw_picture(document), encoding="utf-8")


if __name__ == "__main__":
    main()
