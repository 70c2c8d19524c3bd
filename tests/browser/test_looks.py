"""Every page in light and dark, on a desk and a phone: nothing that a screen reader or a keyboard stumbles over, and not a word in the console."""

from collections.abc import AsyncIterator

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser

from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.scim.schemas import GROUP_URN, USER_URN
from rollhouse.tenancy import credentials, people, sessions, setup_links
from rollhouse.tenancy.secrets import Peppers
from rollhouse.tenancy.sessions import Person
from rollhouse.tenancy.tenants import find_tenant
from tests.browser.conftest import DESK, PHONE, Window, operator_window, window
from tests.conftest import PEPPER, new_client
from tests.http.protocol import define_things, thing
from tests.servers.service import ScimClient, Serving

LOOKS = [("light", DESK), ("dark", DESK), ("light", PHONE), ("dark", PHONE)]
PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>", '"><script>alert(1)</script>', "'><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "<a href=javascript:alert(1)>x</a>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<body onload=alert(1)>",
    "{{7*7}}",
    "{% raw %}",
    "${7*7}",
    "#{7*7}",
    "<%= 7*7 %>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "<math><mtext><script>alert(1)</script>",
    "<details open ontoggle=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<video><source onerror=alert(1)>",
    "<object data=javascript:alert(1)>",
    "<form action=javascript:alert(1)><button>",
    "<link rel=stylesheet href=//evil.example>",
    "<meta http-equiv=refresh content=0>",
    "<base href=//evil.example>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<div hx-get=/admin hx-trigger=load>",
    "<div hx-sse:connect=/admin>",
    "\u202e<b>x</b>\u2066",
]  # fmt: skip


@pytest.fixture
async def filled(portal: Serving, service_database: Database) -> AsyncIterator[ScimClient]:
    """A tenant with people, teams, a thing, failures, two secrets and a link."""
    client = await new_client(portal, service_database)
    users = [await client.create_user(userName=f"user{number}@acme.example", displayName=f"User {number}", active=number % 3 > 0) for number in range(6)]
    await client.create_group(displayName="Everybody", members=[{"value": user["id"]} for user in users])
    await client.create_group(displayName="Few", members=[{"value": user["id"]} for user in users[:2]])
    await client.post("/Users", {"userName": "user1@acme.example"})
    await client.get("/Users/nobody")
    await define_things(service_database, client)
    await client.post("/Things", thing(serial="Lift 1"))
    tenant = await find_tenant(service_database, client.base_url.split("/")[4])
    await credentials.create_secret(service_database, Peppers.parse(PEPPER), tenant, cause=UNATTENDED, label="the next one")
    await people.add_member(service_database, tenant, "ann@acme.example", "viewer", cause=UNATTENDED)
    yield client
    await client.close()


async def check(one: Window, where: str) -> list[str]:
    """What is wrong with the page in each look."""
    found = []
    for scheme, size in LOOKS:
        await one.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        await one.page.set_viewport_size(size)  # type: ignore[arg-type]
        for broken in (await Axe().run(one.page)).response["violations"]:
            nodes = [f"{node['html'][:120]} {node['any'][:1] and node['any'][0]['message'][:160]}" for node in broken["nodes"][:2]]
            found.append(f"{where} {scheme} {size['width']}: {broken['id']} {nodes}")
        if await one.page.evaluate("document.documentElement.scrollWidth > window.innerWidth + 1"):
            found.append(f"{where} {scheme} {size['width']}: the page is wider than the window")
    return found


async def test_every_page_is_for_everybody(chromium: Browser, portal: Serving, service_database: Database, filled: ScimClient) -> None:
    base = f"/portal/{filled.base_url.split('/')[4]}"
    operator = await operator_window(chromium, portal, service_database)
    user = (await filled.find("Users", 'userName eq "user1@acme.example"'))[0]["id"]
    group = (await filled.find("Groups", 'displayName eq "Few"'))[0]["id"]
    lift = (await filled.find("Things", 'serial eq "Lift 1"'))[0]["id"]
    await operator.go(f"{base}/activity?kind=failures")
    failed = await operator.page.get_attribute("#live a", "href")
    assert failed
    pages = [
        *("/admin", "/admin/tenants", "/admin/requests", "/admin/platform", "/admin/account"),
        *(base, f"{base}/users", f"{base}/users?q=nobody", f"{base}/users/{user}", f"{base}/groups", f"{base}/groups/{group}"),
        *(f"{base}/activity", failed, f"{base}/integrations", f"{base}/integrations/entra", f"{base}/settings", f"{base}/audit"),
        *(f"{base}/reports", f"{base}/reports/users-without-email"),
        *(f"{base}/resources", f"{base}/resources/Things", f"{base}/resources/Things?q=nothing", f"{base}/resources/Things/{lift}"),
    ]
    broken = []
    for path in pages:
        assert await operator.go(path) == 200, path
        broken += await check(operator, path)
    await operator.page.click("text=Sign out")
    for path in ("/signin", f"/signin/link/{'x' * 43}"):
        await operator.go(path)
        broken += await check(operator, path)
    tenant = await find_tenant(service_database, base.split("/")[2])
    for provider in ("entra", "okta"):
        _, token = await setup_links.create_setup_link(service_database, tenant, provider, cause=UNATTENDED)
        guest = await window(chromium, portal.url)
        await guest.go(f"/setup/{token}")
        broken += await check(guest, "/setup/<token>")
        await guest.submit("text=Begin")
        broken += await check(guest, f"/setup {provider}")
        operator.said += guest.said
    assert not broken, "\n".join(broken)
    assert operator.said == []
    await operator.go(f"{base}/nothing")
    assert await check(operator, "refusal") == []


@pytest.mark.threat("T34")
async def test_what_a_directory_holds_is_text_in_every_view(chromium: Browser, portal: Serving, service_database: Database) -> None:
    """Thirty payloads in every text attribute: each is shown letter by letter, and none becomes a part of the page."""
    client = await new_client(portal, service_database)
    ids = []
    for number, payload in enumerate(PAYLOADS):
        body = {
            "schemas": [USER_URN],
            "userName": f"{payload}{number}",
            "externalId": f"{payload}{number}",
            "displayName": payload,
            "name": dict.fromkeys(("givenName", "familyName", "formatted", "middleName", "honorificPrefix", "honorificSuffix"), payload),
            **dict.fromkeys(("nickName", "title", "userType", "preferredLanguage", "locale"), payload),
            "emails": [{"value": payload, "type": payload, "display": payload}],
            "phoneNumbers": [{"value": payload, "type": payload}],
            "addresses": [dict.fromkeys(("formatted", "streetAddress", "locality", "region", "postalCode", "country", "type"), payload)],
            "roles": [{"value": payload, "display": payload}],
        }
        made = await client.post("/Users", body)
        assert made.status_code == 201, (payload, made.text)
        ids.append(made.json()["id"])
        assert (await client.post("/Groups", {"schemas": [GROUP_URN], "displayName": payload, "members": [{"value": ids[-1]}]})).status_code == 201
        await client.get("/Users", params={"filter": f'userName eq "{payload}"'}, headers={"user-agent": payload.encode("ascii", "replace").decode()})
        await client.http.get(client.base_url + "/" + payload.replace("#", "%23").replace("%", "%25"))
    operator = await operator_window(chromium, portal, service_database)
    base = f"/portal/{client.base_url.split('/')[4]}"
    paths = [base, f"{base}/users", f"{base}/groups", f"{base}/activity", f"{base}/activity?kind=failures", f"{base}/audit", f"{base}/users?q=%3Cscript"]
    paths += [f"{base}/users/{one}" for one in ids]
    seen = ""
    own = {"/static/vendor-htmx.min.js", "/static/vendor-hx-sse.min.js", "/static/portal.js"}
    for path in paths:
        assert await operator.go(path) == 200
        scripts = await operator.page.evaluate("[...document.scripts].map(one => one.getAttribute('src'))")
        assert set(scripts) == own, path
        strange = "iframe,object,embed,base,math,video,[onload],[onerror],[onfocus],[ontoggle],[hx-trigger=load],main link,main meta,main script,main img"
        assert await operator.page.locator(strange).count() == 0, path
        assert "49" not in (await operator.page.title())
        seen += await operator.page.inner_text("body")
    for payload in PAYLOADS:
        assert payload in seen, payload
    rows = await operator.page.evaluate("fetch(location.href).then(one => one.text())")
    assert "<script>alert" not in rows
    failing = f"{base}/activity?kind=failures"
    await operator.go(failing)
    for href in await operator.page.eval_on_selector_all("#live li > a", "links => links.map(one => one.getAttribute('href'))"):
        await operator.go(href)
    assert operator.said == []
    await client.close()


async def test_forms_and_pages_work_without_scripts(chromium: Browser, portal: Serving, service_database: Database, filled: ScimClient) -> None:
    slug = filled.base_url.split("/")[4]
    found = await people.ensure_operator(service_database, "operator@rollhouse.example", cause=UNATTENDED)
    token = await sessions.create_sign_in_link(service_database, Person(operator_id=found.id))
    context = await chromium.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{portal.url}/signin/link/{token}")
    await page.click("main button")
    await page.goto(f"{portal.url}/portal/{slug}/users")
    await page.fill("#q", "user1")
    await page.click("text=Search")
    assert await page.locator("#results tbody tr").count() == 1
    await page.goto(f"{portal.url}/portal/{slug}/integrations/entra")
    await page.click("text=Generate secret")
    assert (await page.input_value("#new-secret")).startswith("scimsk_")
    await page.click("footer button[value=dark]")
    assert await page.get_attribute("html", "data-theme") == "dark"
    await page.click("text=Sign out")
    assert page.url == f"{portal.url}/signin"
