"""The catalogues: complete in every language, and no word in a page that none could translate (refusals aside: their sentences are English)."""

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from babel.messages.extract import extract_from_dir

from rollhouse.activity import explanations
from rollhouse.activity.live import Live
from rollhouse.activity.request_log import RequestLog
from rollhouse.database.pool import Database
from rollhouse.directory import registries
from rollhouse.directory.bulk import insert_members, insert_resources
from rollhouse.http.app import assemble
from rollhouse.http.service import Service
from rollhouse.journal.audit import UNATTENDED
from rollhouse.portal import words
from rollhouse.portal.words import Words, languages, words_for
from rollhouse.scim.schemas import GROUP, GROUP_URN, USER, USER_URN
from rollhouse.settings import Settings
from rollhouse.tenancy import people, sessions, setup_links, tenants
from rollhouse.tenancy.sessions import Person
from rollhouse.tenancy.tenants import Tenant
from tests.activity.test_request_log import entry, logged
from tests.conftest import PEPPER, Cluster, new_tenant
from tests.http.protocol import THING_URN, thing, things

TEMPLATES = Path(words.__file__).with_name("templates")


def messages() -> set[str]:
    """Every message of the templates and of the explanations of failures."""
    method = [("**.html", "jinja2.ext.babel_extract")]
    found = {one[2] if isinstance(one[2], str) else one[2][0] for one in extract_from_dir(TEMPLATES, method_map=method, options_map={"**.html": {}})}
    said = [*explanations._REFUSED.values(), *explanations._BY_TYPE.values(), *explanations._BY_STATUS.values(), explanations._OTHER]
    return found | {text for one in said for text in (one.title, one.meaning, one.cure)}


@pytest.mark.parametrize("language", [one for one in languages() if one != "en"])
def test_a_catalogue_has_every_message_and_no_other(language: str) -> None:
    known = languages()[language]._known

    assert messages() - known.keys() == set(), "cure: add them to the catalogue"
    assert known.keys() - messages() == set(), "cure: remove them, no page says them"
    for message, translation in known.items():
        assert message[-1:].isspace() == translation[-1:].isspace(), message
        assert re.findall(r"/scim/v2|scimsk_|SCIM_SECRET", message) == re.findall(r"/scim/v2|scimsk_|SCIM_SECRET", translation)


def test_the_language_is_the_chosen_one_else_what_the_browser_prefers() -> None:
    assert words_for("de", "en").language == "de"
    assert words_for("", "fr, de-CH;q=0.9, en;q=0.8").language == "de"
    assert words_for("xx", "").language == "en"
    assert words_for("", "x" * 10_000).language == "en"
    assert words_for("de", "").gettext("Users") == "Benutzer"
    assert words_for("de", "").gettext("what nobody has translated") == "what nobody has translated"


class Brackets(Words):
    """A language in which every message stands in brackets."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧"


class Texts(HTMLParser):
    """The texts of a page that people read: without code, data marked `translate="no"`, and what is typed into fields."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        is_silent = tag in SILENT or given.get("translate") == "no" or bool(self._open and self._open[-1][1])
        if not is_silent:
            self.found += [str(given[name]) for name in ("aria-label", "placeholder", "alt", "data-done") if given.get(name)]
        if tag not in VOID:
            self._open.append((tag, is_silent))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not (self._open and self._open[-1][1]):
            self.found.append(data)


SILENT = ("code", "pre", "script", "style", "time", "svg", "title", "option")
VOID = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")


@pytest.fixture
async def browser(embedded_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application in this process, which speaks the language of brackets."""
    service = Service(Settings(database_url=embedded_cluster.app_url, peppers=PEPPER, public_url="http://portal.example"))
    await service.database.open()
    monkeypatch.setattr(words, "languages", lambda: {"en": Words("en", {}), "xx": Brackets("xx", {})})
    transport = httpx.ASGITransport(app=assemble(service))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://portal.example", cookies={"language": "xx"}) as client:
        client.database = service.database  # type: ignore[attr-defined]
        yield client
    await service.database.close()


KNOWN = re.compile(
    r"English|Deutsch|Rollhouse|OAuth 2\.0|SCIM 2\.0|Microsoft (?:Entra ID|Graph PowerShell)|Okta|OneLogin|JumpCloud|PingOne|Google Workspace|az rest|Terraform"
    r"|entra\.microsoft\.com|[0-9]+ (?:s|min|h|d)\b|\bms\b"
)
"""Names, and units that are the same in every language."""


async def test_no_word_of_a_page_is_out_of_reach_of_translators(browser: httpx.AsyncClient) -> None:
    database = browser.database  # type: ignore[attr-defined]
    tenant = await new_tenant(database)
    operator = await people.ensure_operator(database, "words@rollhouse.example", cause=UNATTENDED)
    started = await sessions.start_session(database, Person(operator_id=operator.id))
    await people.add_member(database, tenant, "DATA@acme.example", "viewer", cause=UNATTENDED)
    browser.cookies.set("rollhouse", started.token)
    base = f"/portal/{tenant.slug}"
    pages = ["/signin", "/admin", "/admin/tenants", "/admin/requests", "/admin/platform", "/admin/account", base]
    pages += [base + page for page in ("/users", "/users?q=DATA", "/groups", "/activity", "/reports", "/reports/empty-groups", "/settings", "/audit")]
    pages += [base + page for page in ("/integrations", "/integrations/entra", "/integrations/okta")]
    pages += await filled(database, tenant, base)
    for path in pages:
        await check(browser, path)
    for provider in ("entra", "okta", "onelogin", "jumpcloud", "pingone", "other"):
        link, _ = await setup_links.create_setup_link(database, tenant, provider, cause=UNATTENDED)
        guest = await sessions.start_session(database, Person(tenant_id=tenant.id, setup_link_id=link.id))
        browser.cookies.set("rollhouse", guest.token)
        await check(browser, "/setup")
        await setup_links.revoke_setup_link(database, tenant, link.id, cause=UNATTENDED)


async def filled(database: Database, tenant: Tenant, base: str) -> list[str]:
    """Pages of what is there: a user, his group, and requests of each kind."""
    (user,) = await insert_resources(database, tenant.id, USER, [{"schemas": [USER_URN], "userName": "ann@acme.example", "displayName": "ann@acme.example"}])
    (group,) = await insert_resources(database, tenant.id, GROUP, [{"schemas": [GROUP_URN], "displayName": "all@acme.example"}])
    await insert_members(database, tenant.id, group, [user])
    log = RequestLog(database, Live(None), gap_seconds=300)
    for method, status in (("GET", 200), ("POST", 201), ("PATCH", 200), ("DELETE", 204), ("POST", 409), ("GET", 429)):
        log.note(entry(tenant.slug, method=method, status=status, path=f"/scim/v2/Users/{user}"))
    log.note(entry(tenant.slug, status=401, credential_id=None, reason="format"))
    await log.flush()
    requests = [row.id for row in await logged(database, tenant.id, 7)]
    await registries.change_definitions(database, tenant, things, cause=UNATTENDED, action="schema.defined", target=("Schema", THING_URN))
    defined = await tenants.find_tenant(database, tenant.slug)
    type_of_things = (await registries.read_definitions(database, tenant.id))[1].by_name["Thing"]
    (made,) = await insert_resources(database, defined.id, type_of_things, [thing(serial="s1@acme.example")])
    others = [f"{base}/resources", f"{base}/resources/Things", f"{base}/resources/Things?q=DATA", f"{base}/resources/Things/{made}"]
    return [f"{base}/users/{user}", f"{base}/groups/{group}", f"{base}/activity", base, *others, *(f"{base}/activity/{one}" for one in requests)]


async def check(browser: httpx.AsyncClient, path: str) -> None:
    answer = await browser.get(path)
    assert answer.status_code == 200, path
    texts = Texts()
    texts.feed(answer.text)
    assert "⟦" in answer.text
    left = []
    for text in texts.found:
        rest = re.sub(r"⟦[^⟧]*⟧", " ", text)
        rest = KNOWN.sub(" ", rest)
        if re.search(r"[A-Za-z]{2,}", rest):
            left.append(rest.strip())
    assert left == [], path
