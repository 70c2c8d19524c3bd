"""`rollhouse operator`: people who run the platform, and the one-time links by which they sign in to the portal."""

import click

from rollhouse.cli.invocation import Invocation, Precondition, command, group, pass_invocation
from rollhouse.cli.root import rollhouse
from rollhouse.database.pool import Database
from rollhouse.tenancy import people, sessions
from rollhouse.tenancy.sessions import Person


@group(rollhouse, "operator")
def operator() -> None:
    """Let operators into the portal."""


@command(operator, "link", example="rollhouse operator link ann@example.com")
@click.argument("email")
@click.option("--hours", type=click.IntRange(1, 24), default=sessions.LINK_HOURS, show_default=True, help="How long the link can be used, once.")
@pass_invocation
def link(invocation: Invocation, email: str, hours: int) -> None:
    """Make a link that signs an operator in once; an operator of that address is made if there is none."""
    public_url = invocation.settings.public_url
    if public_url is None:
        raise Precondition("ROLLHOUSE_PUBLIC_URL is not set: give the address under which people reach the portal, e.g. https://scim.example.com")

    async def work(database: Database) -> str:
        found = await people.ensure_operator(database, email, cause=invocation.cause)
        return await sessions.create_sign_in_link(database, Person(operator_id=found.id), hours=hours)

    url = f"{public_url.rstrip('/')}/signin/link/{invocation.run(work)}"
    invocation.show({"url": url, "hours": hours}, url)
    invocation.say(f"It works once, within {hours} hours. Then set a password: Platform, Your account.")
