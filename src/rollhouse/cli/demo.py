"""`rollhouse demo`: a simulated identity provider at a pace that people can watch."""

import click

from rollhouse.cli.invocation import FAILED, Invocation, command, group, pass_invocation, program
from rollhouse.cli.root import rollhouse
from rollhouse.cli.simulate import choose_run_tag, demo_tenant, play, read_secret
from rollhouse.simulator import ScenarioRequest

RATE_PER_SECOND = 8.0
PAUSE_SECONDS = 6.0
SCALE = 0.2
"""Of the smoke scenario's people: some dozens, so that it is over in a minute or two."""


@group(rollhouse, "demo")
def demo() -> None:
    """Show the product live."""


@command(demo, "entra", example="rollhouse demo entra")
@click.option("--rate", type=click.FloatRange(min=0.1), default=RATE_PER_SECOND, show_default=True, help="Requests a second.")
@pass_invocation
def entra(invocation: Invocation, rate: float) -> None:
    """Let a simulated Entra ID provision the demo tenant of a running `rollhouse dev`; watch it in the portal."""
    url, secret_file = demo_tenant(invocation, None, None)
    public_url = invocation.settings.public_url or ""
    invocation.say(f"Watch it: {public_url}/portal/demo/activity (a link to sign in: {program()} operator link you@example.com)")
    request = ScenarioRequest(
        url=url,
        secret=read_secret(secret_file, None),
        scenario="smoke",
        run_tag=choose_run_tag(None),
        rate_per_second=rate,
        scale=SCALE,
        user_workers=2,
        group_workers=1,
        pause_seconds=PAUSE_SECONDS,
    )
    report = play(request)
    invocation.show(report.as_document(), report.as_text())
    if not report.ok:
        raise click.exceptions.Exit(FAILED)
