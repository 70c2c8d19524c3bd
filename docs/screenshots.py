"""Takes the pictures of the portal in docs/pictures: `make screenshots` starts a service of its own, provisions it, and looks at every page."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

from playwright.async_api import Browser, Page, async_playwright

ROLLHOUSE = str(Path(sys.executable).with_name("rollhouse"))
PICTURES = Path(__file__).with_name("pictures")
CHROMIUM = "/usr/bin/chromium"
DESK, PHONE = (1280, 860), (390, 800)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """`rollhouse dev` in a folder that goes with it."""

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="rp-"))
        self.folder.chmod(0o755)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ROLLHOUSE_")}
        ports = ("--port", str(free_port()), "--metrics-port", str(free_port()))
        self.process = subprocess.Popen([ROLLHOUSE, "dev", "--data-dir", str(self.folder / "d"), "--json", *ports], env=environment, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.said: dict[str, Any] = json.loads(self.process.stdout.readline())
        return self

    def run(self, *arguments: str) -> Any:
        done = subprocess.run([ROLLHOUSE, *arguments, "--data-dir", str(self.folder / "d"), "--json"], capture_output=True, check=True)
        return json.loads(done.stdout)

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)


def define_devices(service: Service) -> None:
    """A type of the demo tenant's own, with a few resources."""
    schema = {"id": "urn:example:params:scim:schemas:Device", "name": "Device", "attributes": [{"name": "serial", "uniqueness": "server", "required": True}]}
    resource_type = {"name": "Device", "endpoint": "/Devices", "schema": schema["id"], "schemaExtensions": []}
    for command, definition in (("schema", schema), ("resource-type", resource_type)):
        path = service.folder / f"{command}.json"
        path.write_text(json.dumps(definition))
        service.run(command, "add", "demo", str(path))
    for number in range(12):
        body = json.dumps({"schemas": [schema["id"]], "serial": f"LT-{4021 + 7 * number}", "externalId": f"asset-{number}"})
        send(service, "/Devices", "-d", body)


def send(service: Service, path: str, *options: str, secret: str | None = None) -> None:
    """A request to the demo tenant; what is answered is of no interest."""
    headers = "-H", f"Authorization: Bearer {secret or service.said['secret']}", "-H", "Content-Type: application/scim+json"
    subprocess.run(["curl", "-s", "-o", os.devnull, *headers, *options, service.said["tenant_url"] + path], check=True)


async def new_page(browser: Browser, size: tuple[int, int], scheme: str) -> Page:
    context = await browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    return await context.new_page()


async def take(page: Page, url: str, name: str, *, whole: bool = False) -> None:
    await page.goto(url, wait_until="domcontentloaded")
    await page.wait_for_timeout(400)
    await page.screenshot(path=str(PICTURES / f"{name}.png"), full_page=whole)
    print(f"docs/pictures/{name}.png", flush=True)


async def sign_in(page: Page, service: Service) -> None:
    await page.goto(service.run("operator", "link", "operator@example.com")["url"])
    async with page.expect_navigation():
        await page.click("main button")


async def walk(service: Service) -> None:
    base = service.said["url"]
    demo = f"{base}/portal/demo"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await new_page(browser, DESK, "light")
        await take(page, f"{base}/signin", "sign-in")
        await sign_in(page, service)
        names = ["overview", "tenants", "requests", "platform"]
        for name, path in zip(names, ["/admin", "/admin/tenants", "/admin/requests", "/admin/platform"], strict=True):
            await take(page, base + path, name)
        await take(page, f"{demo}/resources/Devices", "resources")
        for name in ("users", "groups", "activity", "reports", "integrations", "settings", "audit"):
            await take(page, f"{demo}/{name}", name)
        await take(page, demo, "health")
        await page.goto(f"{demo}/activity?kind=failures")
        failed = await page.get_attribute("#live li > a", "href")
        await take(page, f"{base}{failed}", "explained")
        await page.goto(f"{demo}/users")
        person = await page.get_attribute("#results tbody a", "href")
        await take(page, f"{base}{person}", "user")
        await page.goto(f"{demo}/integrations/entra")
        async with page.expect_navigation():
            await page.click("text=Create setup link")
        link = await page.input_value("#new-link")
        await take(page, f"{demo}/integrations/entra", "connection")
        guest = await new_page(browser, DESK, "light")
        await guest.goto(link)
        async with guest.expect_navigation():
            await guest.click("main button")
        await take(guest, f"{base}/setup", "setup")
        dark = await new_page(browser, DESK, "dark")
        await sign_in(dark, service)
        await take(dark, f"{demo}/activity", "activity-dark")
        phone = await new_page(browser, PHONE, "light")
        await sign_in(phone, service)
        await take(phone, f"{demo}/users", "users-phone")
        await browser.close()


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with Service() as service:
        for number, name in enumerate(("Acme Ltd", "Globex", "Initech", "Umbrella", "Hooli"), start=1):
            service.run("tenant", "create", re.sub(r"\W+", "-", name.lower()) + f"-{number}", "--name", name)
        service.run("demo", "entra", "--rate", "60")
        secret = service.said["secret"]
        for path, key in (("/Users/none", secret), ("/Users", secret[:-3] + "AAA")):
            send(service, path, secret=key)
        define_devices(service)
        asyncio.run(walk(service))


if __name__ == "__main__":
    main()
