"""What a change changed: the answers to two writes of one resource, laid side by side."""

import json
from typing import Any

import msgspec

from rollhouse.activity.request_log import LoggedRequest

VALUE_LIMIT = 120
_FIRST = ("userName", "displayName", "active")
"""What a person is told first of a change."""
_UNTOLD = ("meta", "schemas", "id", "groups")


class Change(msgspec.Struct, frozen=True):
    """One attribute before and after; "" where it was not there."""

    attribute: str
    before: str
    after: str


class Step(msgspec.Struct, frozen=True):
    """One write, and what it changed as far as the log still knows what was before."""

    request: LoggedRequest
    changes: list[Change]


def steps_of(requests: list[LoggedRequest]) -> list[Step]:
    """The writes of one resource, newest first, each with its changes against the one before; `requests` are newest first, with bodies."""
    before: dict[str, str] | None = None
    found = []
    for one in reversed(requests):
        if one.kind == "read":
            continue
        after = _flat(one.response_body)
        is_first = one.kind == "created"
        changes = _between({} if is_first else before, after) if after is not None and (is_first or before is not None) else []
        found.append(Step(one, changes))
        before = after if after is not None else before
    return found[::-1]


def _between(before: dict[str, str] | None, after: dict[str, str]) -> list[Change]:
    before = before or {}
    names = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    names.sort(key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))
    return [Change(name, before.get(name, ""), after.get(name, "")) for name in names]


def _flat(text: str | None) -> dict[str, str] | None:
    """The leaves of a resource by their paths; None for an answer that is none, or was cut."""
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or "id" not in value:
        return None
    leaves: dict[str, str] = {}
    for name, inner in value.items():
        if name.lower() not in _UNTOLD:
            _collect(name.rpartition(":")[2] if isinstance(inner, dict) and name.startswith("urn:") else name, inner, leaves)
    return leaves


def _collect(path: str, value: Any, leaves: dict[str, str]) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _collect(f"{path}.{name}", inner, leaves)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            kind = inner.get("type") if isinstance(inner, dict) else None
            _collect(f"{path}[{kind or number}]", inner, leaves)
    else:
        leaves[path] = (value if isinstance(value, str) else json.dumps(value))[:VALUE_LIMIT]
