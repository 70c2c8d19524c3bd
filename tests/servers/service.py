"""A real `rollhouse serve` process and a client that speaks SCIM to it."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import httpx

ROLLHOUSE = str(Path(sys.executable).with_name("rollhouse"))
SCIM_JSON = "application/scim+json"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def clean_environment(**variables: str) -> dict[str, str]:
    """The environment without any ROLLHOUSE_* of the caller, plus `variables`."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ROLLHOUSE_")} | variables


def wait_until_ready(url: str, process: "subprocess.Popen[Any]", seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the service ended with {process.returncode}")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"{url} was not ready within {seconds} s")


class Serving:
    """One `rollhouse serve` process."""

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.metrics_url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        self.log = log
        self.environment = clean_environment(ROLLHOUSE_PUBLIC_URL=self.url) | environment
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start it, ready or not."""
        command = [ROLLHOUSE, "serve", "--port", str(self.port), "--metrics-port", str(self.metrics_port)]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(command, env=self.environment, stdout=output, stderr=output)

    def start(self, seconds: float = 60) -> None:
        self.launch()
        assert self.process is not None
        wait_until_ready(self.url, self.process, seconds)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def run(self, *arguments: str) -> Any:
        """The JSON that a `rollhouse` command prints, run against the same database."""
        done = subprocess.run([ROLLHOUSE, *arguments, "--json"], env=self.environment, capture_output=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)


class ScimClient:
    """A client of one tenant. Paths are relative to the tenant's SCIM URL."""

    def __init__(self, base_url: str, secret: str, tenant_id: str = "") -> None:
        self.base_url = base_url
        self.secret = secret
        self.tenant_id = tenant_id
        self.http = httpx.AsyncClient(timeout=60, headers={"authorization": f"Bearer {secret}"}, limits=httpx.Limits(max_connections=64))

    async def close(self) -> None:
        await self.http.aclose()

    async def request(self, method: str, path: str, body: Any = None, *, content: bytes | None = None, **keywords: Any) -> httpx.Response:
        headers = {"content-type": SCIM_JSON, **keywords.pop("headers", {})}
        if body is not None:
            content = json.dumps(body).encode()
        return await self.http.request(method, self.base_url + path, content=content, headers=headers, **keywords)

    async def get(self, path: str, **keywords: Any) -> httpx.Response:
        return await self.http.get(self.base_url + path, **keywords)

    async def get_at_once(self, path: str, headers: list[dict[str, str]]) -> list[Any]:
        """What each of so many GETs, sent at one moment on connections of their own, is answered with (httpx takes longer for one than the service)."""
        scheme, _, rest = self.base_url.partition("://")
        address, _, base = rest.partition("/")
        host, _, port = address.partition(":")
        assert scheme == "http"
        connections = [await asyncio.open_connection(host, int(port)) for _ in headers]
        for (_, writer), own in zip(connections, headers, strict=True):
            lines = {"host": address, "authorization": f"Bearer {self.secret}", **own}
            fields = "".join(f"{name}: {text}\r\n" for name, text in lines.items())
            writer.write(f"GET /{base}{path} HTTP/1.1\r\n{fields}\r\n".encode())
        bodies = []
        for reader, writer in connections:
            head = await reader.readuntil(b"\r\n\r\n")
            bodies.append(json.loads(await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))))
            writer.close()
        return bodies

    async def post(self, path: str, body: Any, **keywords: Any) -> httpx.Response:
        return await self.request("POST", path, body, **keywords)

    async def put(self, path: str, body: Any, **keywords: Any) -> httpx.Response:
        return await self.request("PUT", path, body, **keywords)

    async def patch(self, path: str, body: Any, **keywords: Any) -> httpx.Response:
        return await self.request("PATCH", path, body, **keywords)

    async def patch_operations(self, path: str, *operations: dict[str, Any], **keywords: Any) -> httpx.Response:
        return await self.patch(path, {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": list(operations)}, **keywords)

    async def delete(self, path: str, **keywords: Any) -> httpx.Response:
        return await self.request("DELETE", path, **keywords)

    async def create_user(self, **attributes: Any) -> dict[str, Any]:
        """The user as the service answers with it."""
        response = await self.post("/Users", {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], **attributes})
        assert response.status_code == 201, response.text
        return response.json()

    async def create_group(self, **attributes: Any) -> dict[str, Any]:
        """The group as the service answers with it."""
        response = await self.post("/Groups", {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], **attributes})
        assert response.status_code == 201, response.text
        return response.json()

    async def get_user(self, user_id: str) -> dict[str, Any]:
        response = await self.get(f"/Users/{user_id}")
        assert response.status_code == 200, response.text
        return response.json()

    async def get_group(self, group_id: str) -> dict[str, Any]:
        response = await self.get(f"/Groups/{group_id}")
        assert response.status_code == 200, response.text
        return response.json()

    async def members(self, group_id: str) -> set[str]:
        return {member["value"] for member in (await self.get_group(group_id)).get("members", [])}

    async def find(self, endpoint: str, text: str) -> list[dict[str, Any]]:
        """The resources that a filter finds."""
        response = await self.get(f"/{endpoint}", params={"filter": text})
        assert response.status_code == 200, response.text
        return response.json()["Resources"]
