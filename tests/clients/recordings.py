"""Requests as clients send them, kept as JSON beside the tests, and what every answer must look like whoever asks."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers.service import ScimClient

RECORDED = Path(__file__).with_name("recorded")
SCIM_JSON = "application/scim+json"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_LISTS = ("emails", "phoneNumbers", "ims", "photos", "addresses", "groups", "entitlements", "roles", "x509Certificates", "members")
_NOT_EMPTY = ("Resources",)


def recorded(name: str, **known: str) -> Any:
    """The JSON in `recorded/<name>`, each `{{word}}` in it replaced by the value known under that word."""
    return _filled(json.loads((RECORDED / name).read_text()), known)


def forms(name: str) -> list[Any]:
    """One test parameter for each named form in `recorded/<name>`: the form as recorded, for `filled` to complete."""
    return [pytest.param(form, id=title) for title, form in json.loads((RECORDED / name).read_text()).items()]


def filled(form: Any, **known: str) -> Any:
    """The recorded form with the words that are known filled in."""
    return _filled(form, known)


def _filled(node: Any, known: dict[str, str]) -> Any:
    if isinstance(node, str):
        return re.sub(r"\{\{(\w+)\}\}", lambda found: known[found[1]], node)
    if isinstance(node, list):
        return [_filled(part, known) for part in node]
    if isinstance(node, dict):
        return {_filled(name, known): _filled(part, known) for name, part in node.items()}
    return node


class Dialogue:
    """The answers to a recorded sequence of requests, by the name of each step, and what the client remembered of them."""

    def __init__(self) -> None:
        self.answers: dict[str, httpx.Response] = {}
        self.known: dict[str, str] = {}

    def __getitem__(self, step: str) -> Any:
        """The body of the answer to a step."""
        return self.answers[step].json()


async def play(client: ScimClient, name: str, **known: str) -> Dialogue:
    """Send the requests of `recorded/<name>` in order, each answered with the recorded status.

    A step is `{"step", "method", "path", "headers"?, "body"?, "status", "keep"?}`; `keep` names what the client remembers
    of the answer, such as `{"user": "id"}`, for a later `{{user}}`. The path is sent byte for byte.
    """
    dialogue = Dialogue()
    dialogue.known = dict(known)
    script = json.loads((RECORDED / name).read_text())
    for raw in script["steps"]:
        step = _filled(raw, dialogue.known)
        headers = {**script.get("headers", {}), **step.get("headers", {})}
        content = json.dumps(step["body"]).encode() if "body" in step else None
        if content is not None:
            headers = {"Content-Type": SCIM_JSON, **headers}
        answer = await client.http.request(step["method"], client.base_url + step["path"], headers=headers, content=content)
        assert answer.status_code == step["status"], f"{name}, step {step['step']}: {answer.status_code} {answer.text}"
        dialogue.answers[step["step"]] = answer
        for word, way in step.get("keep", {}).items():
            dialogue.known[word] = _follow(answer.json(), way)
    return dialogue


def _follow(node: Any, way: str) -> str:
    for part in way.split("."):
        node = node[int(part)] if part.isdigit() else node[part]
    return str(node)


async def check_answer(response: httpx.Response) -> None:
    """What clients want of every answer, whatever the request (client catalogue section 6, rows L26 and L35)."""
    await response.aread()
    assert not 300 <= response.status_code < 400 or response.status_code == 304, f"redirect to {response.headers.get('location')}"
    if not response.content:
        assert response.status_code in (204, 304)
        return
    asked = response.request.headers.get("accept", "*/*")
    only_json = "application/json" in asked and "scim" not in asked and "*" not in asked
    assert response.headers["content-type"].split(";")[0] == ("application/json" if only_json else SCIM_JSON)
    body = response.json()
    _check_filled(body)
    if response.status_code >= 400:
        assert body["schemas"] == [ERROR]
        assert body["status"] == str(response.status_code)
        assert len(body["detail"]) > 10
    elif body["schemas"] == [LIST]:
        assert [type(body[name]) for name in ("totalResults", "startIndex", "itemsPerPage")] == [int, int, int]
        assert body["itemsPerPage"] == len(body["Resources"]) <= body["totalResults"]
        for resource in body["Resources"]:
            _check_resource(resource)
    else:
        _check_resource(body)


def _check_filled(node: Any, name: str = "") -> None:
    """RFC 7643 section 2.5: an attribute without a value is left out, not null or empty."""
    assert node is not None, f"{name} is null"
    assert node not in ({}, []) or name in _NOT_EMPTY, f"{name} is empty"
    parts = node.items() if isinstance(node, dict) else [(name, part) for part in node] if isinstance(node, list) else []
    for key, part in parts:
        _check_filled(part, key)


def _check_resource(resource: dict[str, Any]) -> None:
    assert isinstance(resource["schemas"], list)
    if {USER, GROUP}.isdisjoint(resource["schemas"]):
        return
    assert isinstance(resource["id"], str)
    assert re.fullmatch(r"[A-Za-z0-9._~-]+", resource["id"])
    assert "password" not in resource
    assert len(set(resource["schemas"])) == len(resource["schemas"])
    assert {name for name in resource if name.startswith("urn:")} <= set(resource["schemas"])
    for name in _LISTS:
        assert isinstance(resource.get(name, []), list), f"{name} is no list"
        assert sum(element.get("primary") is True for element in resource.get(name, [])) <= 1
    assert isinstance(resource.get("active", True), bool)
    assert isinstance(resource.get(ENTERPRISE, {}).get("manager", {}), dict)
    if "meta" in resource:
        meta = resource["meta"]
        assert meta["resourceType"] == ("User" if USER in resource["schemas"] else "Group")
        assert _MOMENT.fullmatch(meta["created"])
        assert _MOMENT.fullmatch(meta["lastModified"])
        assert meta["location"].endswith(f"/{meta['resourceType']}s/{resource['id']}")


def content(resource: dict[str, Any]) -> dict[str, Any]:
    """The resource without `meta`, for comparisons that say "and nothing else changed"."""
    return {name: value for name, value in resource.items() if name != "meta"}


def element(resource: dict[str, Any], attribute: str, kind: str) -> dict[str, Any]:
    """The only value of a multi-valued attribute with that type."""
    found = [value for value in resource.get(attribute, []) if value.get("type") == kind]
    assert len(found) == 1, f"{len(found)} values of {attribute} have the type {kind}"
    return found[0]


def refused(response: httpx.Response, status: int, scim_type: str | None = None) -> str:
    """The detail of an answer that refuses with that status and scimType (RFC 7644 section 3.12)."""
    assert response.status_code == status, response.text
    assert response.json().get("scimType") == scim_type
    return str(response.json()["detail"])
