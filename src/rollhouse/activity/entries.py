"""One request as the edge knows it when it has been answered, and the row that the request log makes of it."""

import hashlib
import re
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from rollhouse.activity.redaction import BLANK, outline, redact, without_questions
from rollhouse.scim.keys import fold_text, index_key
from rollhouse.scim.memberships import is_resource_id
from rollhouse.scim.messages import encode
from rollhouse.scim.registry import STANDARD, Registry

PATH_LIMIT = 500
QUERY_LIMIT = 2000
CLIENT_LIMIT = 200
CLIENT_BYTES_LIMIT = 4 * CLIENT_LIMIT
"""What an entry carries of a User-Agent, which anybody may send as long as he likes."""
DETAIL_LIMIT = 500
OPERATIONS_LIMIT = 100
OTHER_METHOD = "other"
NOT_AN_ID = "(not an id)"
_UNAUTHORIZED = 401
_FAILED = 400
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_TEXTS = re.compile(r'"(?:[^"\\]|\\.)*"?')
"""The values in a filter."""
_NAME = re.compile(r"[A-Za-z]{1,64}")
_SECRETS = re.compile("scim(?:sk|cs|at|ok)[_%][^\\s\"'&/?]*", re.IGNORECASE | re.ASCII)
"""Whatever begins like a secret, whole: somebody has put it into a URL or a body by mistake (threat T27)."""
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class Entry(msgspec.Struct, kw_only=True):
    """What one request leaves; `path` is the part behind the tenant's slug, `began` is in monotonic seconds.

    `registry` is what the tenant's requests are read by; `reason` says why a secret was refused, by its shape alone; `looked_for` is the key of
    a filter that an index answers.
    """

    slug: str
    request_id: str
    method: str
    path: str
    query: bytes
    status: int
    began: float
    seconds: float
    user_agent: bytes = b""
    credential_id: str | None = None
    reason: str | None = None
    looked_for: str | None = None
    tolerances: tuple[str, ...] = ()
    request_body: bytes = b""
    answer_body: bytes = b""
    registry: Registry = STANDARD

    @property
    def is_proven(self) -> bool:
        """Whether the request came with a secret of the tenant's, be it an expired one: anybody can send all others."""
        return self.credential_id is not None


class Row(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the database stores of an entry; `age` is in seconds, `looked_for` in hexadecimal."""

    slug: str
    age: float
    request_id: str
    method: str
    path: str
    status: int
    microseconds: int
    kind: str
    query: str | None = None
    credential_id: str | None = None
    reason: str | None = None
    scim_type: str | None = None
    detail: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    looked_for: str | None = None
    user_agent: str | None = None
    tolerances: tuple[str, ...] = ()
    request_body: str | None = None
    response_body: str | None = None


def row_of(entry: Entry, now: float) -> Row:
    """The row of an entry at `now` (monotonic seconds): bodies redacted, everything bounded, and what happened as one word (`kind`).

    A batch has one `now`, or the order of its rows would be lost. What somebody could be found by in no later erasure is blanked:
    the values of a filter or of a refused body that no key leads to, and what stands where an id belongs.

    Kinds are read, created, updated, deactivated, deleted, refused (no valid secret) and failed.
    """
    parts = entry.path.split("/")
    endpoint = parts[3] if len(parts) > 3 and parts[1:3] == ["scim", "v2"] else ""  # noqa: PLR2004 - "", scim, v2, <endpoint>, <id>
    known, hidden = entry.registry.by_endpoint.get(endpoint.lower()), entry.registry.hidden
    is_search, is_bulk = entry.path.endswith("/.search"), endpoint.lower() == "bulk"
    looked_for, request_text, request = entry.looked_for, *redact(entry.request_body, hidden)
    looked_for = looked_for or (_name_in(request) if request is not None else None)
    answer_text, answer = redact(b"" if (is_search or is_bulk) and entry.status < _FAILED else entry.answer_body, hidden)
    if request is not None and looked_for is None and (is_search or is_bulk or (entry.method == "POST" and entry.status >= _FAILED)):
        request_text, _ = redact(encode(outline(request)), hidden)
    if known is not None and len(parts) > 4 and parts[4] != ".search" and not is_resource_id(parts[4]):  # noqa: PLR2004
        parts[4], answer_text, answer = NOT_AN_ID, None, None
    query = without_questions(unquote_plus(entry.query.decode("latin-1"), errors="replace"), hidden) if entry.query else ""
    found = parts[4] if len(parts) > 4 and is_resource_id(parts[4]) else None  # noqa: PLR2004
    if found is None and isinstance(answer, dict) and entry.status < _FAILED and is_resource_id(str(answer.get("id"))):
        found = str(answer["id"])
    is_failure = entry.status >= _FAILED and isinstance(answer, dict)
    return Row(
        slug=entry.slug,
        age=max(0.0, now - entry.began),
        request_id=entry.request_id,
        method=entry.method if entry.method in _METHODS else OTHER_METHOD,
        path=_clean(without_questions("/".join(parts), hidden), PATH_LIMIT) or "/",
        query=_clean(query if looked_for is not None else _TEXTS.sub(f'"{BLANK}"', query), QUERY_LIMIT) if query else None,
        status=entry.status,
        microseconds=int(entry.seconds * 1e6),
        kind=_kind(entry, request),
        credential_id=entry.credential_id,
        reason=entry.reason,
        scim_type=_word(answer.get("scimType")) if is_failure else None,
        detail=_clean(without_questions(str(answer.get("detail", "")), hidden), DETAIL_LIMIT) if is_failure else None,
        resource_type=known.name if known is not None else None,
        resource_id=found,
        looked_for=_hashed(looked_for),
        user_agent=_client(entry.user_agent, hidden),
        tolerances=entry.tolerances,
        request_body=_clean(request_text, None) if request_text else None,
        response_body=_clean(answer_text, None) if answer_text else None,
    )


def _kind(entry: Entry, request: Any) -> str:
    if not entry.is_proven or entry.status == _UNAUTHORIZED:
        return "refused"
    if entry.status >= _FAILED:
        return "failed"
    if entry.method == "POST" and not entry.path.endswith("/.search"):
        return "updated" if entry.path.endswith("/Bulk") else "created"
    if entry.method == "DELETE":
        return "deleted"
    if entry.method in ("PUT", "PATCH"):
        return "deactivated" if _deactivates(request) else "updated"
    return "read"


def _deactivates(request: Any) -> bool:
    """Whether a PUT or PATCH says that the account is not active any more, in any of the forms that clients send."""
    if not isinstance(request, dict):
        return False
    operations = request.get("Operations") or request.get("operations")
    for one in [request, *(operations[:OPERATIONS_LIMIT] if isinstance(operations, list) else ())]:
        if not isinstance(one, dict):
            continue
        value = one.get("value")
        active = value if str(one.get("path", "")).lower() == "active" else (value.get("active") if isinstance(value, dict) else one.get("active"))
        if isinstance(active, list):
            active = active[0].get("value") if active and isinstance(active[0], dict) else None
        if str(active).lower() == "false":
            return True
    return False


def _name_in(request: Any) -> str | None:
    """The key of the user name in a request that creates or replaces a user: a refused one has no id to be found by."""
    name = next((value for key, value in request.items() if key.lower() == "username"), None) if isinstance(request, dict) else None
    return index_key(fold_text(name, case_exact=False)) if isinstance(name, str) else None


def _hashed(key: str | None) -> str | None:
    return hashlib.sha256(key.encode(errors="replace")).digest()[:16].hex() if key is not None else None


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def _clean(text: str, limit: int | None) -> str | None:
    """The text without what Postgres or a page cannot hold and without what looks like a secret of ours, cut; None if nothing is left."""
    folded = text.casefold()
    # A text without the beginning of a secret is not searched for one, which takes thirty times as long.
    if "scimsk" in folded or "scimcs" in folded or "scimat" in folded or "scimok" in folded:
        text = _SECRETS.sub(BLANK, text)
    text = text[:limit]
    return (text if text.isprintable() else _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)) or None


@lru_cache(maxsize=1000)
def _client(user_agent: bytes, hidden: frozenset[str]) -> str | None:
    """What is kept of a User-Agent; identity providers send few different ones."""
    return _clean(without_questions(user_agent.decode("latin-1"), hidden), CLIENT_LIMIT)
