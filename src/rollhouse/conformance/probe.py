"""The client of the checks: sends requests to one SCIM server, makes resources with fresh names, and removes them at the end."""

import asyncio
import contextlib
import io
import re
import secrets
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

SCIM_JSON = "application/scim+json"
USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_URN = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
SEARCH_URN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
LIST_URN = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
BULK_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
ERROR_URN = "urn:ietf:params:scim:api:messages:2.0:Error"
TOO_MANY_REQUESTS = 429
TRIES = 5
LONGEST_PAUSE_SECONDS = 30
TOLD_BYTES = 160
BULK = "/Bulk"
BULK_ROOM = 60
"""What is to be left of a limit before a bulk request: each of its operations has a price, and those over the limit are answered 429 within 200."""
_WHOLE = re.compile(r"q=([0-9]+)")
_LEFT = re.compile(r"r=([0-9]+);t=([0-9]+)")
TIMEOUT = aiohttp.ClientTimeout(total=30)

Json = Any


class Unreachable(Exception):
    """The server gives no answer at all."""


class Reply(msgspec.Struct, frozen=True):
    """An answer: header names in lower case; `json` is None where the body is none."""

    status: int
    headers: Mapping[str, str]
    raw: bytes
    json: Json

    @property
    def told(self) -> str:
        """The answer in a few words, for a verdict."""
        return f"{self.status} {self.raw[:TOLD_BYTES].decode(errors='replace')}{' ...' * (len(self.raw) > TOLD_BYTES)}"


def pause_of(headers: Mapping[str, str]) -> float:
    """Seconds to wait after an answer of 429 with these headers."""
    asked = headers.get("retry-after", "1")
    return min(int(asked) if asked.isdecimal() else 1, LONGEST_PAUSE_SECONDS)


def room_pause_of(headers: Mapping[str, str]) -> float:
    """Seconds until a limit that these headers tell of (draft-ietf-httpapi-ratelimit-headers-10) has room for a bulk request."""
    whole, left = _WHOLE.search(headers.get("ratelimit-policy", "")), _LEFT.search(headers.get("ratelimit", ""))
    if whole is None or left is None:
        return 0.0
    missing, short = int(whole[1]) - int(left[1]), min(BULK_ROOM, int(whole[1])) - int(left[1])
    return min(int(left[2]) * short / missing, LONGEST_PAUSE_SECONDS) if short > 0 else 0.0


class Probe:
    """One server, as a context manager. Paths are relative to its SCIM URL; whatever was made is deleted when it ends."""

    def __init__(self, url: str, secret: str) -> None:
        self.url = url.rstrip("/")
        self._secret = secret
        self._session: aiohttp.ClientSession | None = None
        self._made: list[str] = []
        self._known: dict[str, Reply] = {}
        self._bulk_pause = 0.0

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=TIMEOUT)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._session is not None  # noqa: S101 - a Probe is used as a context manager
        async with self._session:
            for path in reversed(self._made):
                with contextlib.suppress(Unreachable):  # the next one may be deleted all the same
                    await self.send("DELETE", path)

    async def send(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] = {},
        with_secret: bool = True,
        query: Mapping[str, str] | None = None,
    ) -> Reply:
        """The answer to one request; a body is sent as `application/scim+json` unless the headers say otherwise.

        429 is waited for, and a bulk request waits until a limit has room for its operations.

        Raises:
            Unreachable: there was no answer.
        """
        assert self._session is not None  # noqa: S101 - a Probe is used as a context manager
        sent = {"accept": SCIM_JSON} | ({"authorization": f"Bearer {self._secret}"} if with_secret else {})
        content = raw if raw is not None else msgspec.json.encode(body) if body is not None else None
        if content is not None:
            sent["content-type"] = SCIM_JSON
        sent |= {name.lower(): value for name, value in headers.items()}
        if path == BULK:
            await asyncio.sleep(self._bulk_pause)
        try:
            for _ in range(TRIES):
                data = io.BytesIO(content) if content is not None else None  # a large one as bytes would hold up the event loop
                async with self._session.request(method, self.url + path, data=data, headers=sent, params=query, allow_redirects=False) as answer:
                    found = Reply(answer.status, {name.lower(): value for name, value in answer.headers.items()}, await answer.read(), None)
                if found.status != TOO_MANY_REQUESTS:
                    break
                await asyncio.sleep(pause_of(found.headers))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{self.url} gives no answer to {method} {path} ({type(error).__name__}).") from None
        self._bulk_pause = room_pause_of(found.headers)
        try:
            return msgspec.structs.replace(found, json=msgspec.json.decode(found.raw)) if found.raw else found
        except (msgspec.DecodeError, UnicodeDecodeError):
            return found

    async def get(self, path: str, **query: str) -> Reply:
        """The answer to a GET with these query parameters."""
        return await self.send("GET", path, query=query or None)

    async def post(self, path: str, body: Json) -> Reply:
        """The answer to a POST; what it made is deleted at the end."""
        reply = await self.send("POST", path, body)
        self.note_made(path, reply)
        return reply

    def note_made(self, endpoint: str, reply: Reply) -> None:
        """Have the resource of an answer deleted at the end, if there is one."""
        if reply.status == 201 and isinstance(reply.json, dict) and isinstance(reply.json.get("id"), str):  # noqa: PLR2004
            self._made.append(f"{endpoint}/{reply.json['id']}")

    async def patch(self, path: str, *operations: Json, **keywords: Any) -> Reply:
        """The answer to a PATCH of these operations."""
        return await self.send("PATCH", path, {"schemas": [PATCH_URN], "Operations": list(operations)}, **keywords)

    @staticmethod
    def name(prefix: str = "probe") -> str:
        """A name that nobody has."""
        return f"{prefix}-{secrets.token_hex(6)}"

    async def new_user(self, **attributes: Json) -> Json:
        """A user that was just made, as the server answered.

        Raises:
            Unreachable: the server does not make one, so that nothing that needs one can be tried.
        """
        return await self._new("/Users", {"schemas": [USER_URN], "userName": self.name("user"), **attributes})

    async def new_group(self, *members: str, **attributes: Json) -> Json:
        """A group of these members, that was just made."""
        listed = {"members": [{"value": one} for one in members]} if members else {}
        return await self._new("/Groups", {"schemas": [GROUP_URN], "displayName": self.name("group"), **listed, **attributes})

    async def _new(self, endpoint: str, body: Json) -> Json:
        reply = await self.post(endpoint, body)
        if reply.status != 201 or not isinstance(reply.json, dict) or "id" not in reply.json:  # noqa: PLR2004
            raise Unreachable(f"POST {endpoint} makes no resource to try with: {reply.told}")
        return reply.json

    async def known(self, path: str) -> Json:
        """The body of a discovery endpoint, asked for once; {} where there is none."""
        if path not in self._known:
            self._known[path] = await self.get(path)
        body = self._known[path].json
        return body if isinstance(body, dict) else {}

    async def supports(self, feature: str) -> bool:
        """Whether /ServiceProviderConfig says that a feature is there, such as `bulk` or `sort`."""
        stated = (await self.known("/ServiceProviderConfig")).get(feature)
        return isinstance(stated, dict) and stated.get("supported") is True
