"""What an operation of the admin API is: one record from which its route, its gate, its description and its documentation are made."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from rollhouse.http.api_calls import Call, Outcome

Act = Callable[[Call], Awaitable[Outcome]]
JSON = "application/json"
_GROUPS = {
    "tenants": "Tenants",
    "credentials": "SCIM secrets",
    "directory": "Directory",
    "usage": "Usage",
    "audit": "Audit",
    "schemas": "Schemas and resource types",
    "keys": "Operators' keys",
}
_IN_PATH = re.compile(r"\{(\w+)\}")


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of the path or the query (`place`), with an example of its value."""

    name: str
    place: str
    description: str
    example: str
    kind: str = "string"


_PATH_PARAMETERS = {
    one.name: one
    for one in (
        Parameter("slug", "path", "The tenant's slug.", "acme"),
        Parameter("credential", "path", "The id or the prefix of a SCIM secret.", "scimsk_0a1B2c3D4e5F"),
        Parameter("resource_type", "path", "The name of a resource type.", "Badge"),
        Parameter("resource", "path", "The id of a resource.", "01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff"),
        Parameter("urn", "path", "The URN of a schema.", "urn:example:params:scim:schemas:Badge"),
        Parameter("key", "path", "The id or the prefix of an operator's key.", "scimok_0a1B2c3D4e5F"),
    )
}


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path below /api/v1. Without a scope it is open to everybody; `answer` is the Struct that it answers with."""

    method: str
    path: str
    name: str
    summary: str
    scope: str | None
    act: Act
    status: int
    body: Any
    answer: Any
    media_type: str
    parameters: tuple[Parameter, ...]
    example: dict[str, Any] | None
    takes_if_match: bool

    @property
    def group(self) -> str:
        """The heading under which it is documented."""
        return _GROUPS[self.scope.partition(":")[0]] if self.scope is not None else "Documentation"

    @property
    def takes_idempotency_key(self) -> bool:
        """Whether a repeat can be told from a new request: every POST."""
        return self.method == "POST"


def _path_parameter(name: str) -> Parameter:
    """What the documentation says of a part of the path: one of those above, else the id of a resource of that type."""
    return _PATH_PARAMETERS.get(name) or Parameter(name, "path", f"The id of a {name}.", _PATH_PARAMETERS["resource"].example)


def operation(
    method: str,
    path: str,
    *,
    scope: str | None,
    answer: Any,
    status: int = 200,
    body: Any = None,
    media_type: str = JSON,
    query: tuple[Parameter, ...] = (),
    example: dict[str, Any] | None = None,
    takes_if_match: bool = False,
) -> Callable[[Act], Operation]:
    """A decorator that makes an operation of a function: its name and its docstring's first line are the operation's."""

    def decorate(act: Act) -> Operation:
        return Operation(
            method=method,
            path=path,
            name=getattr(act, "__name__", ""),
            summary=(act.__doc__ or "").strip().partition("\n")[0],
            scope=scope,
            act=act,
            status=status,
            body=body,
            answer=answer,
            media_type=media_type,
            parameters=(*(_path_parameter(name) for name in _IN_PATH.findall(path)), *query),
            example=example,
            takes_if_match=takes_if_match,
        )

    return decorate


def paged(key: str, example: str) -> tuple[Parameter, ...]:
    """The parameters of a list: where the page begins and how long it is."""
    return (
        Parameter("after", "query", f"The {key} behind which the page begins: `next` of the page before.", example),
        Parameter("limit", "query", "Most items of the page, 1 to 200; 100 without it.", "50", "integer"),
    )


def next_of(keys: list[str], limit: int) -> str | None:
    """The value of `next`: the last key of a page that is full, None when there is nothing behind it."""
    return keys[-1] if len(keys) == limit else None
