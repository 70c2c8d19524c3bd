"""Who may see which page: every route for every role, with forms that only our own pages may send."""

import asyncio
import time
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.limits.limit import RATE_LIMIT
from rollhouse.portal.gate import CONTENT_SECURITY_POLICY
from rollhouse.scim.errors import Unauthorized
from rollhouse.tenancy import openid, people, sessions, setup_links, tenants
from rollhouse.tenancy.federation import KeyHosts
from rollhouse.tenancy.openid import Provider
from rollhouse.tenancy.secrets import Peppers, new_pepper
from rollhouse.tenancy.sessions import Person
from tests.activity.test_request_log import logged
from tests.conftest import PEPPER, Cluster, new_client
from tests.portal.conftest import People, Visitor, everybody
from tests.portal.pages import ANYBODY, FRESH, MANAGER, OPERATOR, PAGES, SETUP, TENANT
from tests.servers.service import ScimClient, Serving

ALLOWED = {
    ANYBODY: {"operator", "admin", "viewer", "stranger", "guest", "nobody"},
    OPERATOR: {"operator"},
    TENANT: {"operator", "admin", "viewer"},
    MANAGER: {"operator", "admin"},
    FRESH: {"operator", "admin"},
    SETUP: {"guest"},
}
REFUSED = {401, 403, 404}

PEPPERS = Peppers.parse(PEPPER)


def address(path: str, visitors: People) -> str:
    filled = path.replace("{slug:str}", visitors.tenant.slug).replace("{provider:str}", "entra").replace("{token:str}", "x" * 43)
    return (
        filled.replace("{name:str}", "portal.css")
        .replace("{finding:str}", "empty-groups")
        .replace("{row_id:str}", str(UUID(int=7)))
        .replace("{resource_id:str}", str(UUID(int=7)))
        .replace("{endpoint:str}", "Things")
    )


@pytest.mark.threat("T28")
@pytest.mark.threat("T36")
@pytest.mark.parametrize("role", ["operator", "admin", "viewer", "stranger", "guest", "nobody"])
async def test_every_page_is_for_whom_it_is_and_nobody_else(visitors: People, role: str) -> None:
    """Whoever it is not for is refused, or asked to sign in; a page of a tenant is, for another tenant's people, one that never was."""
    visitor = visitors[role]
    for (method, path), audience in PAGES.items():
        if (
            (method, path) == ("POST", "/setup")
            or path in ("/signout", "/setup/live", "/portal/{slug:str}/activity/live")
            or path.startswith(("/signin", "/setup/{token"))
        ):
            continue  # ends the session, or does not end by itself; each has its own test
        where = address(path, visitors)
        response = await (visitor.get(where) if method == "GET" else visitor.post(where, {"label": "by a test"}))
        if role in ALLOWED[audience]:
            assert response.status_code not in (401, 403, 500), (method, where, response.status_code)
            assert not response.headers.get("location", "").startswith("/signin?"), (method, where)
        elif method == "GET" and role == "nobody" and not where.startswith("/setup"):
            assert response.headers["location"].startswith("/signin?next="), (method, where)
        else:
            assert response.status_code in REFUSED, (method, where, response.status_code)
        if role == "stranger" and audience in (TENANT, MANAGER, FRESH):
            assert response.status_code == 404


@pytest.mark.threat("T36")
@pytest.mark.parametrize(
    ("headers", "csrf"),
    [
        ({}, "another"),
        ({}, ""),
        ({"origin": "https://evil.example"}, None),
        ({"origin": "null"}, None),
        ({"sec-fetch-site": "cross-site"}, None),
        ({"sec-fetch-site": "same-site"}, None),
    ],
)
async def test_a_form_from_elsewhere_changes_nothing(visitors: People, headers: dict[str, str], csrf: str | None) -> None:
    admin = visitors["admin"]
    for (method, path), audience in PAGES.items():
        if method != "POST" or audience in (ANYBODY, OPERATOR, SETUP):
            continue
        form = {"csrf": admin.csrf if csrf is None else csrf, "name": "Changed", "email": "evil@acme.example", "label": "evil"}
        response = await admin.http.post(address(path, visitors), data=form, headers=headers)
        assert response.status_code == 403, path
    page = (await admin.get(f"{visitors.base}/settings")).text
    assert "evil@" not in page
    assert "Changed" not in page


@pytest.mark.threat("T36")
async def test_a_session_is_new_at_each_sign_in_and_gone_after_the_end(visitors: People, service: Serving, service_database: Database) -> None:
    operator = await people.ensure_operator(service_database, "operator@rollhouse.example", cause=UNATTENDED)
    one = await Visitor(service.url).sign_in(service_database, Person(operator_id=operator.id))
    before = dict(one.http.cookies)
    await one.sign_in(service_database, Person(operator_id=operator.id))
    after = dict(one.http.cookies)
    assert before != after
    async with httpx.AsyncClient(base_url=service.url, cookies=before) as old:
        assert (await old.get("/admin")).status_code == 303, "the session before is ended"
    await one.get("/admin")
    assert (await one.post("/signout")).headers["location"] == "/signin"
    async with httpx.AsyncClient(base_url=service.url, cookies=after) as old:
        assert (await old.get("/admin")).status_code == 303
    await one.close()


async def test_a_sign_in_link_works_once_and_not_by_being_looked_at(service: Serving, service_database: Database) -> None:
    operator = await people.ensure_operator(service_database, "operator@rollhouse.example", cause=UNATTENDED)
    token = await sessions.create_sign_in_link(service_database, Person(operator_id=operator.id))
    one = Visitor(service.url)
    for _ in range(3):
        assert (await one.get(f"/signin/link/{token}")).status_code == 200
    assert (await one.post("/signin/link", {"token": token})).status_code == 303
    other = Visitor(service.url)
    assert (await other.post("/signin/link", {"token": token})).status_code == 401
    assert (await other.post("/signin/link", {"token": "x" * 43})).status_code == 401
    await one.close()
    await other.close()


@pytest.mark.threat("T28")
async def test_an_old_session_makes_no_secret(visitors: People, service_database: Database) -> None:
    admin = visitors["admin"]
    await service_database.query("UPDATE rollhouse.sessions SET authenticated = authenticated - interval '16 minutes' WHERE tenant_id = $1", visitors.tenant.id)

    response = await admin.post(f"{visitors.base}/integrations/entra/secrets")
    guest = await visitors["guest"].post("/setup/secret")

    assert (response.status_code, guest.status_code) == (403, 403)
    assert "15 minutes" in response.text
    assert (await admin.get(f"{visitors.base}/integrations/entra")).status_code == 200


@pytest.mark.parametrize("change", ["idle", "over", "disabled"])
async def test_a_session_ends_by_itself(service: Serving, service_database: Database, change: str) -> None:
    operator = await people.ensure_operator(service_database, f"{change}@rollhouse.example", cause=UNATTENDED)
    one = await Visitor(service.url).sign_in(service_database, Person(operator_id=operator.id))
    await service_database.query(
        {
            "idle": "UPDATE rollhouse.sessions SET last_seen = last_seen - interval '31 minutes' WHERE operator_id = $1",
            "over": "UPDATE rollhouse.sessions SET expires = clock_timestamp() WHERE operator_id = $1",
            "disabled": "UPDATE rollhouse.operators SET disabled = clock_timestamp() WHERE id = $1",
        }[change],
        operator.id,
    )

    assert (await one.get("/admin")).headers["location"] == "/signin?next=%2Fadmin"
    await one.close()


@pytest.mark.threat("T30")
@pytest.mark.parametrize("how", ["deactivated", "deleted", "removed"])
async def test_a_member_who_left_is_out_with_his_next_click(visitors: People, service_database: Database, how: str) -> None:
    """His own identity provider deactivates or deletes him by SCIM; nobody has to think of the portal."""
    admin = visitors["admin"]
    user = await visitors.client.create_user(userName="Admin@ACME.example")
    assert (await admin.get(visitors.base)).status_code == 200
    if how == "deactivated":
        await visitors.client.patch_operations(f"/Users/{user['id']}", {"op": "Replace", "path": "active", "value": "False"})
    elif how == "deleted":
        await visitors.client.delete(f"/Users/{user['id']}")
    else:
        operator = visitors["operator"]
        page = (await operator.get(f"{visitors.base}/settings")).text
        member = page.split("admin@acme.example")[1].split('name="id" value="')[1][:36]
        assert (await operator.post(f"{visitors.base}/settings/members/remove", {"id": member})).status_code == 303

    assert (await admin.get(visitors.base)).headers["location"].startswith("/signin?next=")


async def test_a_revoked_setup_link_ends_its_guest(visitors: People, service_database: Database) -> None:
    tenant = await tenants.find_tenant(service_database, visitors.tenant.slug)
    (link,) = await setup_links.list_setup_links(service_database, tenant)
    assert link.opened is not None
    assert (await visitors["guest"].get("/setup")).status_code == 200
    await setup_links.revoke_setup_link(service_database, tenant, link.id, cause=UNATTENDED)

    assert (await visitors["guest"].get("/setup")).status_code == 401


async def test_passwords_and_second_factors(service: Serving, service_database: Database) -> None:
    import pyotp

    operator = await people.ensure_operator(service_database, "totp@rollhouse.example", cause=UNATTENDED)
    one = await Visitor(service.url).sign_in(service_database, Person(operator_id=operator.id))
    page = (await one.get("/admin/account")).text
    secret = page.split('name="totp_secret" value="')[1][:32]
    short = await one.post("/admin/account", {"password": "too short", "totp_secret": secret, "code": ""})
    assert (short.status_code, "15 to 200 characters" in short.text) == (400, True)
    wrong = await one.post("/admin/account", {"password": "a sentence is a good one", "totp_secret": secret, "code": "000000"})
    assert wrong.status_code == 400
    code = pyotp.TOTP(secret).now()
    assert (await one.post("/admin/account", {"password": "a sentence is a good one", "totp_secret": secret, "code": code})).status_code == 303

    fresh = Visitor(service.url)
    form = {"email": "TOTP@rollhouse.example", "password": "a sentence is a good one", "next": "//evil.example"}
    answers = [
        await fresh.post("/signin", form | {"password": "wrong wrong wrong wrong"}),
        await fresh.post("/signin", form | {"code": "000000"}),
        await fresh.post("/signin", form | {"email": "nobody@rollhouse.example"}),
    ]
    assert {answer.status_code for answer in answers} == {401}
    used = pyotp.TOTP(secret).now()
    signed = await fresh.post("/signin", form | {"code": used})
    assert (signed.status_code, signed.headers["location"]) == (303, "/admin"), "a way to another site is not followed"
    again = Visitor(service.url)
    await again.get("/signin")
    replayed = await again.post("/signin", form | {"code": used})
    assert replayed.status_code == 401, "a code works once"
    assert (await again.get("/admin")).status_code == 303
    await again.close()
    await one.close()
    await fresh.close()


@pytest.mark.threat("T34")
async def test_every_page_carries_the_policy_and_is_stored_nowhere(visitors: People) -> None:
    gone = f"{visitors.base}/users/{UUID(int=7)}"
    for path in ("/signin", "/admin", "/admin/nothing", gone, f"{visitors.base}/users", f"{visitors.base}/nothing", "/setup", "/portal/never-was"):
        response = await visitors["operator"].get(path)
        assert response.headers["content-security-policy"] == CONTENT_SECURITY_POLICY, path
        assert len(response.headers.multi_items()) == len(response.headers), path
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert "unsafe" not in response.headers["content-security-policy"]
        assert "<script>" not in response.text
        assert " style=" not in response.text
        assert " on" + "click=" not in response.text


async def test_the_live_part_is_sent_again_when_something_arrives(visitors: People) -> None:
    """Server-sent events: what is there at once, and the next request within a moment."""
    for who, path in (("viewer", f"{visitors.base}/activity/live"), ("guest", "/setup/live")):
        async with visitors[who].http.stream("GET", path) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            parts = response.aiter_lines()
            seen = ""
            asked = time.monotonic()
            sent = False
            async with asyncio.timeout(10):
                async for line in parts:
                    seen += line
                    if not sent:
                        await visitors.client.get(f"/Users/{UUID(int=9)}")
                        sent = True
                    if str(UUID(int=9)) in seen:
                        break
            assert time.monotonic() - asked < 5


@pytest.mark.threat("T36")
async def test_the_sign_in_leads_nowhere_else(service: Serving) -> None:
    one = Visitor(service.url)
    for where in ("https://evil.example", "//evil.example", "/\\evil.example", "\\/evil", "javascript:alert(1)", "/ok\r\nset-cookie: a=b"):
        page = (await one.get("/signin", params={"next": where})).text
        assert 'name="next" value=""' in page, where
    assert 'name="next" value="/admin"' in (await one.get("/signin", params={"next": "/admin"})).text
    await one.close()


async def test_oauth_clients_are_made_and_revoked_on_the_connection_page(visitors: People, service: Serving) -> None:
    """One with a secret, which fetches a token that opens SCIM; one that Entra ID vouches for; and what is wrong is said."""
    admin = visitors["admin"]
    here = f"{visitors.base}/integrations/entra"
    made = (await admin.post(f"{here}/clients", {"kind": "secret", "label": "Entra"})).text
    client_id = made.split('id="new-client" value="')[1].split('"')[0]
    secret = made.split('id="new-client-secret" value="')[1].split('"')[0]
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    async with httpx.AsyncClient() as client:
        token = await client.post(f"{service.url}/t/{visitors.tenant.slug}/oauth2/token", data=form)
        assert token.status_code == 200
    wrong = await admin.post(f"{here}/clients", {"kind": "federated", "entra_tenant": "none", "subject": "x", "audience": "y"})
    assert (wrong.status_code, "no id of an Entra tenant" in wrong.text) == (400, True)
    guid = "11111111-2222-4333-8444-555555555555"
    trusted = await admin.post(f"{here}/clients", {"kind": "federated", "entra_tenant": guid, "subject": guid, "audience": guid})
    assert trusted.status_code == 201
    assert "new-client-secret" not in trusted.text
    assert (await admin.post(f"{here}/clients/revoke", {"id": client_id})).status_code == 303
    async with httpx.AsyncClient() as client:
        assert (await client.post(f"{service.url}/t/{visitors.tenant.slug}/oauth2/token", data=form)).status_code == 401
    assert secret not in (await admin.get(here)).text


async def test_an_open_live_part_does_not_hold_up_the_end(embedded_cluster: Cluster, service_database: Database, tmp_path: Path) -> None:
    """The server waits for what is under way; what has no end of its own ends when the service does, and what waits is still written."""
    serving = Serving(tmp_path / "ending.log", {"ROLLHOUSE_DATABASE_URL": embedded_cluster.app_url, "ROLLHOUSE_PEPPERS": PEPPER})
    serving.start()
    client = await new_client(serving, service_database)
    one = await everybody(serving, service_database, client)
    async with one["viewer"].http.stream("GET", f"{one.base}/activity/live") as response:
        assert response.status_code == 200
        await client.get(f"/Users/{UUID(int=5)}")
        started = time.monotonic()
        assert await asyncio.to_thread(serving.stop) == 0
        assert time.monotonic() - started < 6
    assert "refused to gracefully stop" not in serving.log.read_text()
    (row,) = await logged(service_database, client.tenant_id, 1)
    assert row.path.endswith(str(UUID(int=5)))
    await client.close()
    for visitor in one.visitors.values():
        await visitor.close()


async def test_passwords_cannot_be_tried_for_long(service: Serving, service_database: Database) -> None:
    """Ten tries, then one in half a minute, also with the right one; a one-time link still lets in."""
    operator = await people.ensure_operator(service_database, "guessed@rollhouse.example", cause=UNATTENDED)
    await people.set_password(service_database, PEPPERS, operator.id, "a sentence is a good one", totp_secret=None, cause=UNATTENDED)
    serving = Visitor(service.url)
    answers = [await serving.post("/signin", {"email": "GUESSED@rollhouse.example", "password": f"wrong {number} wrong wrong"}) for number in range(14)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[0] == 401
    assert 429 in statuses
    assert statuses[-1] == 429
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    right = await serving.post("/signin", {"email": "guessed@rollhouse.example", "password": "a sentence is a good one"})
    assert right.status_code == 429
    await serving.sign_in(service_database, Person(operator_id=operator.id))
    assert (await serving.get("/admin")).status_code == 200
    await serving.close()


@pytest.mark.threat("T27")
async def test_second_factors_and_client_secrets_are_stored_sealed_and_follow_the_pepper(service_database: Database, acme: ScimClient) -> None:
    import pyotp

    secret, password = pyotp.random_base32(), "a sentence is a good one"
    tenant = await tenants.find_tenant(service_database, acme.base_url.split("/")[4])
    hosts = KeyHosts.parse("idp.example.com")
    provider = Provider("https://idp.example.com", "portal", "a client secret", owns_addresses=True)
    operator = await people.ensure_operator(service_database, "sealed@rollhouse.example", cause=UNATTENDED)
    await people.set_password(service_database, PEPPERS, operator.id, password, totp_secret=secret, cause=UNATTENDED)
    await openid.set_provider(service_database, PEPPERS, hosts, tenant, provider, cause=UNATTENDED)

    async def stored() -> list[tuple[int, bytes]]:
        rows = list(await service_database.query("SELECT pepper_version, totp_secret FROM rollhouse.operators WHERE id = $1", operator.id))
        async with service_database.transaction(tenant.id) as tx:
            rows += await tx.fetch("SELECT pepper_version, client_secret FROM rollhouse.identity_providers")
        return [tuple(row) for row in rows]

    async def needing(version: int) -> int:
        rows = await service_database.query("SELECT live FROM rollhouse.pepper_versions() WHERE pepper_version = $1", version)
        return rows[0]["live"] if rows else 0

    assert not any(secret.encode() in sealed or b"a client secret" in sealed for _, sealed in await stored())
    was = await needing(PEPPERS.current)
    both = Peppers.parse(f"99:{new_pepper().partition(':')[2]},{PEPPER}")
    await people.verify_operator(service_database, both, "sealed@rollhouse.example", password, pyotp.TOTP(secret).now())
    assert await openid.provider_of(service_database, both, tenant) == provider
    assert [version for version, _ in await stored()] == [99, 99]
    assert (await needing(PEPPERS.current), await needing(99)) == (was - 2, 2)
    with pytest.raises(Unauthorized, match="cannot be read any more"):
        await people.verify_operator(service_database, PEPPERS, "sealed@rollhouse.example", password, pyotp.TOTP(secret).now())
    await openid.set_provider(service_database, PEPPERS, hosts, tenant, None, cause=UNATTENDED)
    await people.set_password(service_database, PEPPERS, operator.id, password, totp_secret=None, cause=UNATTENDED)


async def test_sessions_and_links_that_have_ended_are_swept_away(service: Serving, service_database: Database) -> None:
    operator = await people.ensure_operator(service_database, "swept@rollhouse.example", cause=UNATTENDED)
    for _ in range(3):
        await sessions.start_session(service_database, Person(operator_id=operator.id))
    await service_database.query("UPDATE rollhouse.sessions SET last_seen = last_seen - interval '1 hour' WHERE operator_id = $1", operator.id)
    live = await sessions.start_session(service_database, Person(operator_id=operator.id))

    await sessions.sweep_sessions(service_database)

    rows = await service_database.query("SELECT id FROM rollhouse.sessions WHERE operator_id = $1", operator.id)
    assert [row["id"] for row in rows] == [live.session_id]


@pytest.mark.threat("T36")
async def test_a_new_password_ends_all_other_sessions_and_unused_links(service: Serving, service_database: Database) -> None:
    operator = await people.ensure_operator(service_database, "robbed@rollhouse.example", cause=UNATTENDED)
    person = Person(operator_id=operator.id)
    mine, stolen = [await sessions.start_session(service_database, person) for _ in range(2)]
    link = await sessions.create_sign_in_link(service_database, person)

    await people.set_password(
        service_database, PEPPERS, operator.id, "a sentence is a good one", totp_secret=None, session_id=mine.session_id, cause=UNATTENDED
    )

    assert await sessions.find_session(service_database, mine.token) is not None
    assert await sessions.find_session(service_database, stolen.token) is None
    with pytest.raises(Unauthorized):
        await sessions.use_sign_in_link(service_database, link)


@pytest.mark.threat("T30")
async def test_a_live_page_ends_when_its_member_is_removed(service: Serving, acme: ScimClient, service_database: Database) -> None:
    one = await everybody(service, service_database, acme)
    (viewer,) = [member for member in await people.list_members(service_database, one.tenant) if member.role == "viewer"]
    async with asyncio.timeout(10), one["viewer"].http.stream("GET", f"{one.base}/activity/live") as response:
        assert response.status_code == 200
        parts = response.aiter_bytes()
        await anext(parts)
        await people.remove_member(service_database, one.tenant, viewer.id, cause=UNATTENDED)
        async for _ in parts:
            pass
    assert (await one["viewer"].get(f"{one.base}/activity/live")).status_code == 303
    for visitor in one.visitors.values():
        await visitor.close()


async def test_a_member_without_another_way_in_gets_a_new_link(visitors: People, service: Serving) -> None:
    admin, base = visitors["admin"], f"{visitors.base}/settings"
    page = (await admin.get(base)).text
    viewer = page.split("viewer@acme.example")[1].split('name="id" value="')[1].split('"')[0]
    made = await admin.post(f"{base}/members/link", {"id": viewer})
    link = made.text.split("/signin/link/")[1].split('"')[0]
    someone = Visitor(service.url)
    await someone.get(f"/signin/link/{link}")
    assert (await someone.post("/signin/link", {"token": link})).headers["location"] == visitors.base
    assert (await someone.get(f"{visitors.base}/users")).status_code == 200
    foreign = await visitors["operator"].post(f"{base}/members/link", {"id": str(UUID(int=7))})
    assert foreign.status_code == 404
    assert "member.link_created" in (await admin.get(f"{visitors.base}/audit")).text
    await someone.close()


async def test_what_only_operators_may_change_is_refused_and_not_passed_over(visitors: People) -> None:
    admin, base = visitors["admin"], f"{visitors.base}/settings"
    await admin.get(base)
    assert (await admin.post(base, {})).status_code == 400
    for form in ({"rate": "0", "burst": "1"}, {"state": "suspended"}, {"issuer": ""}):
        answer = await admin.post(base, form)
        assert (answer.status_code, "Only an operator" in answer.text) == (403, True), form


async def test_an_operator_may_set_any_limit_that_the_commands_may(visitors: People, service_database: Database) -> None:
    """And the page lets a limit be sent again that was set elsewhere: no limit, or the highest."""
    operator, base = visitors["operator"], f"{visitors.base}/settings"
    for rate, burst, shown in ((RATE_LIMIT, RATE_LIMIT, RATE_LIMIT), (0, 0, 1)):
        await tenants.set_limit(service_database, visitors.tenant.slug, rate, burst, cause=UNATTENDED)
        page = (await operator.get(base)).text
        assert f'name="rate" type="number" min="0" max="{RATE_LIMIT}" value="{rate}"' in page
        assert f'name="burst" type="number" min="1" max="{RATE_LIMIT}" value="{shown}"' in page
        assert (await operator.post(base, {"rate": str(rate), "burst": str(shown)})).status_code == 303
        found = await tenants.find_tenant(service_database, visitors.tenant.slug)
        assert (found.rate_per_second, found.burst) == (rate, shown)

    over = await operator.post(base, {"rate": str(RATE_LIMIT + 1), "burst": "1"})
    assert (over.status_code, str(RATE_LIMIT) in over.text) == (400, True)


async def test_a_form_that_is_asked_for_again_leads_to_its_page(visitors: People) -> None:
    """A browser that reloads what a form showed asks for the form's address."""
    for who, path, page in (
        ("admin", f"{visitors.base}/integrations/entra/secrets", f"{visitors.base}/integrations/entra"),
        ("guest", "/setup/secret", "/setup"),
    ):
        answer = await visitors[who].get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, page)


async def test_a_tenant_is_found_wherever_it_stands(visitors: People) -> None:
    page = (await visitors["operator"].get("/admin/tenants", params={"q": visitors.tenant.name.upper()})).text
    assert f'href="/portal/{visitors.tenant.slug}"' in page
    nowhere = (await visitors["operator"].get("/admin/tenants", params={"q": "no tenant has that"})).text
    assert 'href="/portal/' not in nowhere


async def test_the_guide_ticks_what_is_proven_and_no_more(visitors: People, service_database: Database) -> None:
    """The tenant has a secret already, but nothing has come since the link was made."""

    def ticked(page: str) -> list[str]:
        return [part.split('"')[0] for part in page.split('class="tick done" id="tick-')[1:]]

    assert ticked((await visitors["guest"].get("/setup")).text) == []
    async with httpx.AsyncClient() as client:
        await client.get(f"{visitors.client.base_url}/Users", headers={"authorization": "Bearer hunter2"})
    await logged(service_database, visitors.client.tenant_id, 1)
    assert ticked((await visitors["guest"].get("/setup")).text) == ["1", "2", "3", "4"]
    await visitors.client.get(f"/Users/{UUID(int=8)}")
    await logged(service_database, visitors.client.tenant_id, 2)
    assert ticked((await visitors["guest"].get("/setup")).text) == ["1", "2", "3", "4", "5"]
