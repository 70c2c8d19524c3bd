"""The product's story as people walk it, in a real browser, with the simulator as Entra ID."""

import asyncio
import re
import subprocess
from pathlib import Path

from playwright.async_api import Browser, expect

from rollhouse.database.pool import Database
from tests.browser.conftest import Window, operator_window, window
from tests.conftest import Cluster
from tests.portal.openid_provider import CLIENT_ID, CLIENT_SECRET, OpenIdProvider
from tests.servers.service import ROLLHOUSE, ScimClient, Serving, clean_environment

SECONDS = 30_000


async def provision(url: str, secret: Path) -> None:
    """One run of the simulated Entra ID, from its initial cycle to its quiet one."""
    command = [ROLLHOUSE, "simulate", "entra", "--url", url, "--secret-file", str(secret), "--scenario", "smoke", "--rate", "0", "--scale", "0.1"]
    done = await asyncio.to_thread(subprocess.run, command, env=clean_environment(), capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


async def make_tenant(operator: Window, provider: OpenIdProvider, slug: str) -> None:
    page = operator.page
    await operator.go("/admin/tenants")
    await page.fill("input[name=name]", "Acme Ltd")
    await page.fill("input[name=slug]", slug)
    await operator.submit("main article button:has-text('Create')")
    await page.wait_for_url(f"**/portal/{slug}/integrations")
    await operator.go(f"/portal/{slug}/settings")
    await page.fill("input[name=issuer]", provider.issuer)
    await page.fill("input[name=client_id]", CLIENT_ID)
    await page.fill("input[name=client_secret]", CLIENT_SECRET)
    await operator.submit("section[aria-labelledby=sign-in-title] button:has-text('Save')")
    await page.fill("input[name=email]", "ann@acme.example")
    await operator.submit("section[aria-labelledby=members-title] button:has-text('Add')")
    await expect(page.locator("#new-link")).to_have_count(1)


async def sign_in(admin: Window, slug: str) -> None:
    await admin.go(f"/portal/{slug}/integrations")
    await admin.page.click("text=Sign in with your company's account")
    await admin.page.wait_for_url(f"**/portal/{slug}/integrations")


async def generate_secret(admin: Window, slug: str, label: str) -> str:
    await admin.go(f"/portal/{slug}/integrations/entra")
    await admin.page.fill("#label", label)
    await admin.submit("text=Generate secret")
    await admin.page.click(".once [data-copy=new-secret]")
    secret = await admin.page.input_value("#new-secret")
    assert await admin.page.evaluate("navigator.clipboard.readText()") == secret
    await admin.submit("text=I have saved it")
    assert secret not in await admin.page.content(), "it is shown once"
    return secret


async def exchange(admin: Window, slug: str, client: ScimClient) -> ScimClient:
    """The secret is exchanged: the old one and the new one side by side, then the old one is refused."""
    second = await generate_secret(admin, slug, "Entra, next")
    newer = ScimClient(client.base_url, second)
    await newer.get("/Users?count=1")
    await expect(admin.page.locator(".bars li")).to_have_count(2)
    await admin.submit(f"button[aria-label='Revoke {client.secret[:19]}']")
    await asyncio.sleep(1)
    assert (await client.get("/Users?count=1")).status_code == 401
    assert (await newer.get("/Users?count=1")).status_code == 200
    return newer


async def test_from_a_new_tenant_to_a_connected_one(
    chromium: Browser, portal: Serving, provider: OpenIdProvider, service_database: Database, embedded_cluster: Cluster, tmp_path: Path
) -> None:
    slug = f"story-{tmp_path.name.rsplit('_', 1)[-1].rstrip('0') or 'x'}-acme".replace("_", "-").lower()[:40].strip("-")
    provider.email = "ann@acme.example"
    operator = await operator_window(chromium, portal, service_database)
    await make_tenant(operator, provider, slug)
    admin = await window(chromium, portal.url)
    await sign_in(admin, slug)
    url = await admin.page.input_value("#scim-url")
    assert url == f"{portal.url}/t/{slug}/scim/v2"
    secret = await generate_secret(admin, slug, "Entra, production")
    await admin.submit("text=Create setup link")
    link = await admin.page.input_value("#new-link")

    # The customer's IT administrator, without an account.
    guest = await window(chromium, portal.url)
    await guest.go(link)
    await guest.submit("text=Begin")
    assert guest.page.url == f"{portal.url}/setup", "the token is not in the address any more"
    live = guest.page.locator("#live")
    await expect(live).to_contain_text("Waiting for the first request")
    wrong = ScimClient(url, secret[:-3] + "AAA")
    await wrong.get('/Users?filter=userName eq "test"')
    await wrong.close()
    await expect(live).to_contain_text("a character is wrong or missing", timeout=SECONDS)
    await expect(live.locator("#tick-4")).to_contain_text("✓")
    client = ScimClient(url, secret)
    await client.get('/Users?filter=userName eq "4906acb4-68a7-4327-a28e-da6f2b133ed8"')
    await expect(live).to_contain_text("Test connection worked: 200", timeout=SECONDS)
    kept = tmp_path / "secret"
    kept.write_text(secret)
    await provision(url, kept)
    await expect(live).to_contain_text("First user arrived", timeout=SECONDS)
    await asyncio.sleep(2.2)  # the pause by which the service tells two cycles apart
    await provision(url, kept)
    await expect(live).to_contain_text("Connected", timeout=SECONDS)
    await expect(live.locator(".done")).to_have_count(10)
    countdown = live.locator("time.countdown")
    told = await countdown.inner_text()
    await expect(countdown).not_to_have_text(told, timeout=SECONDS)
    assert re.fullmatch(r"[0-9]+:[0-5][0-9]", await countdown.inner_text())

    # What arrived is on the dashboard, and a deactivation shows as it happens.
    await admin.go(f"/portal/{slug}/users")
    rows = admin.page.locator("#results tbody tr")
    assert await rows.count() > 3
    name = await rows.first.locator("a").inner_text()
    await admin.page.fill("#q", name[:4])
    await expect(rows.first).to_contain_text(name[:4], timeout=SECONDS)
    await admin.go(f"/portal/{slug}/groups")
    await expect(admin.page.locator("svg.treemap a").first).to_be_visible()
    await admin.go(f"/portal/{slug}/activity")
    user = await client.create_user(userName="leaver@acme.example", displayName="Lea Ver")
    await client.patch_operations(f"/Users/{user['id']}", {"op": "Replace", "path": "active", "value": "False"})
    await expect(admin.page.locator("#live")).to_contain_text("deactivated Lea Ver", timeout=SECONDS)
    await admin.page.click("#live a:has-text('Lea Ver')")
    await expect(admin.page.locator("h1")).to_contain_text("inactive")

    newer = await exchange(admin, slug, client)
    await admin.submit("section#links button:has-text('Revoke')")
    assert await guest.go("/setup") == 401
    await operator.go("/admin")
    await expect(operator.page.locator(".tiles")).to_contain_text("Acme Ltd")
    said = [line for one in (operator, admin, guest) for line in one.said if "401 (Unauthorized)" not in line]
    assert said == []
    for one in (client, newer):
        await one.close()
