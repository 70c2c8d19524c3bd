"""Mails to administrators, through a real mail server: each is sent once, by one process, and again where the server did not take it."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from rollhouse.activity.live import Live
from rollhouse.activity.notices import Post, send_due_notices
from rollhouse.activity.request_log import RequestLog
from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.tenancy import credentials, people
from rollhouse.tenancy.secrets import Peppers
from rollhouse.tenancy.tenants import Tenant
from tests.activity.test_request_log import entry
from tests.conftest import PEPPER, Cluster
from tests.servers.service import free_port


class Box:
    """What the mail server has taken; it takes nothing while it `refuses`."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, str]] = []
        self.refuses = False
        self.refuses_for = ""

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802, ARG002 - as above
        if address == self.refuses_for:
            return "550 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 fine"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802, ARG002 - the interface of the server
        if self.refuses:
            return "451 later"
        assert envelope.content is not None
        self.mails += [(to, envelope.content.decode()) for to in envelope.rcpt_tos]  # type: ignore[union-attr]
        return "250 taken"

    def of(self, address: str) -> list[str]:
        return [text.partition("Subject: ")[2].partition("\n")[0].strip() for to, text in self.mails if to == address]


@pytest.fixture
def box() -> Iterator[tuple[Box, Post]]:
    made, port = Box(), free_port()
    server = Controller(made, hostname="127.0.0.1", port=port)
    server.start()
    yield made, Post.parse(f"smtp://127.0.0.1:{port}", "rollhouse@platform.example", "https://portal.example")
    server.stop()


async def test_each_notice_is_sent_once_to_each_administrator(database: Database, tenant: Tenant, box: tuple[Box, Post]) -> None:
    mails, post = box
    address = f"ann@{tenant.slug}.example"
    await people.add_member(database, tenant, address, "admin", cause=UNATTENDED)
    await people.add_member(database, tenant, f"viewer@{tenant.slug}.example", "viewer", cause=UNATTENDED)
    made = await credentials.create_secret(database, Peppers.parse(PEPPER), tenant, cause=UNATTENDED, expires=datetime.now(UTC) + timedelta(days=6))
    mails.refuses = True
    await send_due_notices(database, post)
    assert mails.of(address) == []
    mails.refuses = False

    await asyncio.gather(*(send_due_notices(database, post) for _ in range(3)))

    assert mails.of(address) == [f"A secret of {tenant.name} ends soon"]
    assert mails.of(f"viewer@{tenant.slug}.example") == []
    text = next(text for to, text in mails.mails if to == address)
    assert f"https://portal.example/portal/{tenant.slug}/integrations" in text
    assert made.minted.secret not in text
    assert made.minted.prefix not in text


async def test_an_address_that_no_server_takes_costs_no_other_administrator_a_second_mail(database: Database, tenant: Tenant, box: tuple[Box, Post]) -> None:
    mails, post = box
    good, bad = f"a@{tenant.slug}.example", f"b@{tenant.slug}.example"
    last = f"c@{tenant.slug}.example"
    for address in (good, bad, last):
        await people.add_member(database, tenant, address, "admin", cause=UNATTENDED)
    await credentials.create_secret(database, Peppers.parse(PEPPER), tenant, cause=UNATTENDED, expires=datetime.now(UTC) + timedelta(days=6))
    mails.refuses_for = bad
    for _ in range(3):
        await send_due_notices(database, post)
    assert [len(mails.of(address)) for address in (good, bad, last)] == [1, 0, 1]
    rows = await database.query("SELECT about FROM rollhouse.notices WHERE tenant_id = $1 AND kind = 'expiring'", tenant.id)
    assert len(rows) == 1, "it is done with"


async def test_a_stall_and_its_end_are_told(database: Database, tenant: Tenant, box: tuple[Box, Post], cluster: Cluster) -> None:
    mails, post = box
    address = f"bob@{tenant.slug}.example"
    await people.add_member(database, tenant, address, "admin", cause=UNATTENDED)
    log = RequestLog(database, Live(None), gap_seconds=300)
    log.note(entry(tenant.slug, method="POST", status=201))
    await log.flush()
    await send_due_notices(database, post)
    assert mails.of(address) == []
    admin = await asyncpg.connect(cluster.superuser_url)
    await admin.execute("UPDATE rollhouse.tenant_health SET cycles = 2, last_success = last_success - interval '3 hours' WHERE tenant_id = $1", tenant.id)
    await admin.close()
    for _ in range(2):
        await send_due_notices(database, post)
    assert mails.of(address) == [f"Provisioning of {tenant.name} has stalled"]
    log.note(entry(tenant.slug, status=200))
    await log.flush()
    for _ in range(2):
        await send_due_notices(database, post)
    assert mails.of(address) == [f"Provisioning of {tenant.name} has stalled", f"Provisioning of {tenant.name} has recovered"]


@pytest.mark.parametrize("url", ["", "mail.example.com", "http://mail.example.com", "smtp://"])
def test_a_mail_server_that_is_none_is_told_at_the_start(url: str) -> None:
    with pytest.raises(ValueError, match="smtp://user:password@"):
        Post.parse(url, "x@y.example", "")


def test_a_url_says_everything() -> None:
    post = Post.parse("smtps://user%40x:p%3Aw@mail.example.com", "x@y.example", "https://portal.example/")
    assert (post.host, post.port, post.is_tls, post.user, post.password, post.public_url) == (
        "mail.example.com", 465, True, "user@x", "p:w", "https://portal.example"
    )  # fmt: skip
