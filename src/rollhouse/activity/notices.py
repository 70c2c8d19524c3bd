"""Mails to a tenant's administrators: a secret ends, provisioning has stalled, has recovered; each gets each once, from one process."""

from datetime import datetime
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote, urlsplit

import aiosmtplib
import msgspec

from rollhouse.activity.health import STALLED_AFTER
from rollhouse.database.pool import Database, Row
from rollhouse.telemetry.logs import log

MAIL_SECONDS = 10.0
NOTICE_DAYS = (30, 14, 7, 1)
"""How many days before the end of a secret it is told."""
AT_ONCE = 200
RECIPIENTS_LIMIT = 20
REFUSED_FOR_GOOD = 500
"""From this answer on a mail server will not take a mail later either (RFC 5321 section 4.2.1)."""
_STALLED_SECONDS = int(STALLED_AFTER.total_seconds())
_PORTS = {"smtp": 587, "smtps": 465}

_STALLED = f"""
    SELECT t.id, t.slug, t.name, h.last_success, h.last_success::text AS about FROM rollhouse.tenant_health h JOIN rollhouse.tenants t ON t.id = h.tenant_id
    WHERE t.status = 'active' AND h.cycles >= 2
      AND h.last_success < clock_timestamp() - interval '{_STALLED_SECONDS} seconds' AND h.last_success > clock_timestamp() - interval '30 days'
      AND NOT EXISTS (SELECT FROM rollhouse.notices n WHERE n.tenant_id = t.id AND n.kind = 'stalled' AND n.about = h.last_success::text)
    ORDER BY h.last_success LIMIT {AT_ONCE}
"""
_RECOVERED = f"""
    SELECT t.id, t.slug, t.name, h.last_success, n.about FROM rollhouse.notices n
    JOIN rollhouse.tenants t ON t.id = n.tenant_id JOIN rollhouse.tenant_health h ON h.tenant_id = n.tenant_id
    WHERE n.kind = 'stalled' AND t.status = 'active' AND h.last_success > n.at
      AND h.last_success > clock_timestamp() - interval '{_STALLED_SECONDS} seconds'
      AND NOT EXISTS (SELECT FROM rollhouse.notices r WHERE r.tenant_id = n.tenant_id AND r.kind = 'recovered' AND r.about = n.about)
    ORDER BY n.at LIMIT {AT_ONCE}
"""
_ENDING = """
    SELECT t.id, t.slug, t.name, e.expires, a.about FROM rollhouse.ending_credentials($1) e JOIN rollhouse.tenants t ON t.id = e.tenant_id
    CROSS JOIN LATERAL (SELECT e.credential_id || ' ' || min(d) AS about FROM unnest($2::integer[]) d
        WHERE e.expires <= clock_timestamp() + make_interval(days => d)) a
    WHERE t.status = 'active'
      AND NOT EXISTS (SELECT FROM rollhouse.notices n WHERE n.tenant_id = t.id AND n.kind = 'expiring' AND n.about = a.about)
"""
_CLAIM = "INSERT INTO rollhouse.notices (tenant_id, kind, about) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING at"
_GIVE_UP = "DELETE FROM rollhouse.notices WHERE tenant_id = $1 AND kind = $2 AND about = $3"
_RECIPIENTS = f"SELECT id, email FROM rollhouse.members WHERE tenant_id = $1 AND role = 'admin' ORDER BY email_key LIMIT {RECIPIENTS_LIMIT}"


class Post(msgspec.Struct, frozen=True):
    """The mail server, who sends, and the address of the portal that mails lead to."""

    host: str
    port: int
    is_tls: bool
    user: str | None
    password: str | None
    sender: str
    public_url: str

    @classmethod
    def parse(cls, url: str, sender: str, public_url: str) -> "Post":
        """From smtp://user:password@host:port or smtps://...

        Raises:
            ValueError: it is no such URL; the message does not hold the password.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("give one such as smtp://user:password@mail.example.com:587")
        user = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        return cls(parts.hostname, parts.port or _PORTS[parts.scheme], parts.scheme == "smtps", user, password, sender, public_url.rstrip("/"))

    async def send(self, to: str, subject: str, text: str) -> None:
        """Send one mail.

        Raises:
            aiosmtplib.SMTPException, OSError: the server does not take it.
        """
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = self.sender, to, subject
        mail.set_content(text)
        settings: dict[str, Any] = {"username": self.user, "password": self.password, "timeout": MAIL_SECONDS}
        await aiosmtplib.send(mail, hostname=self.host, port=self.port, use_tls=self.is_tls, **settings)


async def send_due_notices(database: Database, post: Post) -> int:
    """How many mails were sent; what a mail server does not take now is tried again at the next call."""
    sent = 0
    for row in await database.query(_ENDING, max(NOTICE_DAYS), list(NOTICE_DAYS)):
        words = (
            f"A secret of {row['name']} ends on {row['expires']:%Y-%m-%d}. Provisioning stops with it."
            " Generate a new one, paste it into the identity provider, and revoke the old one when it is silent."
        )
        sent += await _notify(database, post, row, "expiring", f"A secret of {row['name']} ends soon", words)
    for row in await database.query(_STALLED):
        words = f"The identity provider of {row['name']} has not come since {_moment(row['last_success'])}. Look whether provisioning is still started there."
        sent += await _notify(database, post, row, "stalled", f"Provisioning of {row['name']} has stalled", words)
    for row in await database.query(_RECOVERED):
        words = f"The identity provider of {row['name']} is back since {_moment(row['last_success'])}. Nothing needs to be done."
        sent += await _notify(database, post, row, "recovered", f"Provisioning of {row['name']} has recovered", words)
    return sent


async def _notify(database: Database, post: Post, row: Row, kind: str, subject: str, words: str) -> int:
    """Send one notice to whoever has not had it, and note that it is done with; a mail is claimed before it is sent."""
    tenant_id, about = row["id"], row["about"]
    async with database.transaction(tenant_id) as tx:
        to = await tx.fetch(_RECIPIENTS, tenant_id)
    text = f"{words}\n\n{post.public_url}/portal/{row['slug']}/integrations\n"
    sent = later = 0
    for one in to:
        mail = (tenant_id, "mail", f"{kind} {about} {one['id']}")
        if not await database.query(_CLAIM, *mail):
            continue
        try:
            await post.send(one["email"], subject.replace("\n", " ").replace("\r", " "), text)
            sent += 1
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            is_final = _code(error) >= REFUSED_FOR_GOOD
            if not is_final:
                later += 1
                await database.query(_GIVE_UP, *mail)
            cure = "look at the members' addresses" if is_final else "check ROLLHOUSE_SMTP_URL and that the server takes mail; it is tried again"
            log("notice.not_sent", error=type(error).__name__, kind=kind, slug=row["slug"], cure=cure)
    if to and not later:
        await database.query(_CLAIM, tenant_id, kind, about)
    return sent


def _code(error: Exception) -> int:
    """The mail server's answer, 0 if there was none."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return max(one.code for one in error.recipients)
    return error.code if isinstance(error, aiosmtplib.SMTPResponseException) else 0


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
