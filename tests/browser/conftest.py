"""A real Chromium before a service of its own, whose operators and tenants sign in by a real OpenID provider."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.tenancy import people, sessions
from rollhouse.tenancy.sessions import Person
from tests.conftest import PEPPER, Cluster
from tests.portal.openid_provider import OpenIdProvider
from tests.servers.service import Serving

CHROMIUM = Path("/usr/bin/chromium")
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 800}


class Window:
    """One person's browser; it remembers everything that the console said."""

    def __init__(self, context: BrowserContext, page: Page, base: str) -> None:
        self.context = context
        self.page = page
        self.base = base
        self.said: list[str] = []
        page.on("console", lambda message: self.said.append(f"{page.url}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"{page.url}: {error}"))
        page.on("dialog", lambda dialog: self.said.append(f"{page.url}: dialog {dialog.message}"))

    async def go(self, path: str) -> int:
        """Open a page; its status."""
        response = await self.page.goto(path if path.startswith("http") else self.base + path, wait_until="domcontentloaded")
        assert response is not None
        return response.status

    async def submit(self, selector: str) -> None:
        """Press a button that leads to another page."""
        async with self.page.expect_navigation():
            await self.page.click(selector)


@pytest.fixture
async def provider() -> AsyncIterator[OpenIdProvider]:
    made = await OpenIdProvider().start()
    yield made
    await made.stop()


@pytest.fixture
async def portal(provider: OpenIdProvider, embedded_cluster: Cluster, tmp_path: Path) -> AsyncIterator[Serving]:
    settings = {
        "ROLLHOUSE_DATABASE_URL": embedded_cluster.app_url,
        "ROLLHOUSE_PEPPERS": PEPPER,
        "ROLLHOUSE_FEDERATION_HOSTS": provider.issuer,
        "ROLLHOUSE_CYCLE_GAP_SECONDS": "2",
        "ROLLHOUSE_RATE_PER_SECOND": "0",
    }
    serving = Serving(tmp_path / "portal.log", settings)
    serving.start()
    yield serving
    assert serving.stop() == 0


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    assert CHROMIUM.exists(), "Chromium is missing; cure: tests/servers/install"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        await browser.close()


async def window(browser: Browser, base: str) -> Window:
    context = await browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    await context.grant_permissions(["clipboard-read", "clipboard-write"], origin=base)
    return Window(context, await context.new_page(), base)


async def operator_window(browser: Browser, portal: Serving, database: Database) -> Window:
    """A window in which the operator has just signed in by his link."""
    found = await people.ensure_operator(database, "operator@rollhouse.example", cause=UNATTENDED)
    token = await sessions.create_sign_in_link(database, Person(operator_id=found.id))
    one = await window(browser, portal.url)
    await one.go(f"/signin/link/{token}")
    await one.page.click("main button")
    await one.page.wait_for_url("**/admin")
    return one
