"""A small lenient SCIM server in memory, and ways to spoil it: what the simulator is tried against in unit tests."""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

import msgspec
from aiohttp import web

from rollhouse.simulator.mapping import ENTERPRISE_URN, member_of

LIST_URN = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ERROR_URN = "urn:ietf:params:scim:api:messages:2.0:Error"
SECRET = "stand-in-secret"
Document = dict[str, Any]
Spoiler = Callable[[web.Request, web.Response], web.Response]

QUOTED = re.compile(r'^(?P<path>\w+(?:\[[^\]]*\]\.\w+)?) eq "(?P<value>.*)"$', re.DOTALL)
REFERENCE = re.compile(r"^id eq (?P<id>\S+) and (?P<attribute>manager|members) eq (?P<value>\S+)$")
ELEMENT = re.compile(r'^(?P<attribute>\w+)\[(?P<key>\w+) eq "(?P<value>[^"]*)"\](\.(?P<sub>\w+))?$')
CASE_EXACT = {"id", "externalId"}


@dataclass
class StandIn:
    """The server's state; `spoil` may replace any answer, `drops` names attributes that are lost on writes."""

    users: dict[str, Document] = field(default_factory=dict)
    groups: dict[str, Document] = field(default_factory=dict)
    members: dict[str, dict[str, None]] = field(default_factory=dict)
    spoil: Spoiler = lambda _, response: response
    drops: frozenset[str] = frozenset()
    seen: list[tuple[str, str, bytes]] = field(default_factory=list)

    def application(self) -> web.Application:
        """The server as an aiohttp application, under any path."""
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{tail:.*}", self.handle)
        return application

    async def handle(self, request: web.Request) -> web.Response:
        """Answer any request and remember it."""
        body = await request.read()
        self.seen.append((request.method, request.raw_path, body))
        return self.spoil(request, self._answer(request, msgspec.json.decode(body) if body else {}))

    def _answer(self, request: web.Request, body: Document) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {SECRET}":
            return failure(401, "the secret is wrong")
        parts = [part for part in request.path.split("/") if part]
        kind = next((part for part in parts if part in {"Users", "Groups"}), "")
        after = parts[parts.index(kind) + 1 :] if kind else []
        if not kind:
            return failure(404, "no such endpoint")
        if not after:
            return self._create(request, kind, body) if request.method == "POST" else self._query(request, kind)
        return self._answer_one(request, kind, after[0], body)

    def _answer_one(self, request: web.Request, kind: str, key: str, body: Document) -> web.Response:
        store = self.users if kind == "Users" else self.groups
        if key not in store:
            return failure(404, "no such resource")
        if request.method == "GET":
            return reply(200, self._show(kind, key, query_of(request)))
        if request.method == "DELETE":
            return self._delete(store, key)
        return self._patch(kind, key, body)

    def _create(self, request: web.Request, kind: str, body: Document) -> web.Response:
        store = self.users if kind == "Users" else self.groups
        name = body.get("userName", "").casefold()
        if name and any(user["userName"].casefold() == name for user in self.users.values()):
            return failure(409, "userName is taken", "uniqueness")
        new_id = str(uuid.uuid4())
        document = {key: value for key, value in body.items() if value not in (None, []) and key not in self.drops}
        store[new_id] = document | {"id": new_id, "meta": {"resourceType": kind[:-1]}}
        if kind == "Groups":
            self.members[new_id] = {}
        location = f"{request.url.origin()}{request.path}/{new_id}"
        return reply(201, self._show(kind, new_id, {"excludedAttributes": "members"}), {"Location": location})

    def _query(self, request: web.Request, kind: str) -> web.Response:
        store = self.users if kind == "Users" else self.groups
        query = query_of(request)
        start = int(query.get("startIndex", "1"))
        ids = [key for key in store if "filter" not in query or self._matches(kind, key, query["filter"])]
        page = ids[start - 1 : start - 1 + int(query.get("count", "100"))]
        resources = [self._show(kind, key, query) for key in page]
        counts = {"totalResults": len(ids), "startIndex": start, "itemsPerPage": len(page)}
        return reply(200, {"schemas": [LIST_URN], **counts, "Resources": resources})

    def _matches(self, kind: str, key: str, text: str) -> bool:
        reference = REFERENCE.match(text)
        if reference and reference["attribute"] == "members":
            return key == reference["id"] and reference["value"] in self.members[key]
        document = (self.users if kind == "Users" else self.groups)[key]
        if reference:
            manager = member_of(document.get(ENTERPRISE_URN), "manager")
            return key == reference["id"] and member_of(manager, "value") == reference["value"]
        quoted = QUOTED.match(text)
        assert quoted, text
        path, value = quoted["path"], quoted["value"]
        element = ELEMENT.match(path)
        if element:
            mails = document.get(element["attribute"], [])
            return any(mail["type"] == element["value"] and mail["value"].casefold() == value.casefold() for mail in mails)
        shown = str(document.get(path, ""))
        return shown == value if path in CASE_EXACT else shown.casefold() == value.casefold()

    def _show(self, kind: str, key: str, query: dict[str, str]) -> Document:
        document = dict((self.users if kind == "Users" else self.groups)[key])
        if query.get("attributes") == "id":
            return {"schemas": document["schemas"], "id": key}
        if kind == "Groups" and query.get("excludedAttributes") != "members":
            document["members"] = [{"value": member} for member in self.members[key]]
        return document

    def _delete(self, store: dict[str, Document], key: str) -> web.Response:
        del store[key]
        self.members.pop(key, None)
        for members in self.members.values():
            members.pop(key, None)
        return web.Response(status=204)

    def _patch(self, kind: str, key: str, body: Document) -> web.Response:
        document = (self.users if kind == "Users" else self.groups)[key]
        for operation in body["Operations"]:
            path, value = operation.get("path", ""), operation.get("value")
            if path.startswith("members"):
                self._patch_members(key, operation["op"].lower(), path, value)
            elif path:
                self._set(document, path, value)
            else:
                for name, entry in value.items():
                    self._set(document, name, entry)
        return web.Response(status=204) if kind == "Groups" else reply(200, self._show(kind, key, {}))

    def _patch_members(self, key: str, op: str, path: str, value: Any) -> None:
        element = ELEMENT.match(path)
        ids = [element["value"]] if element else [entry["value"] for entry in value]
        for member in ids:
            if op == "add":
                self.members[key][member] = None
            else:
                self.members[key].pop(member, None)

    def _set(self, document: Document, path: str, value: Any) -> None:
        if path in self.drops:
            return
        if path == "active" and isinstance(value, str):
            value = value == "True"
        if path.endswith(":manager"):
            value = {"value": value}
        element = ELEMENT.match(path)
        if element:
            elements = document.setdefault(element["attribute"], [])
            found = next((entry for entry in elements if entry["type"] == element["value"]), None)
            if found is None:
                found = {"type": element["value"]}
                elements.append(found)
            found[element["sub"]] = value
        elif path.startswith("urn:"):
            urn, _, name = path.rpartition(":")
            document[urn] = document.get(urn, {}) | {name: value}
        elif "." in path:
            name, _, sub = path.partition(".")
            document[name] = document.get(name, {}) | {sub: value}
        else:
            document[path] = value


def query_of(request: web.Request) -> dict[str, str]:
    """The query as form data, decoded once."""
    pairs = [part.partition("=") for part in request.raw_path.partition("?")[2].split("&")]
    return {unquote_plus(name): unquote_plus(value) for name, _, value in pairs}


def reply(status: int, document: Document, headers: dict[str, str] | None = None) -> web.Response:
    """A SCIM answer."""
    body = msgspec.json.encode(document)
    return web.Response(status=status, body=body, content_type="application/scim+json", headers=headers)


def failure(status: int, detail: str, scim_type: str = "", headers: dict[str, str] | None = None) -> web.Response:
    """A SCIM Error."""
    document = {"schemas": [ERROR_URN], "status": str(status), "detail": detail}
    return reply(status, document | ({"scimType": scim_type} if scim_type else {}), headers)
