"""The description of the admin API in OpenAPI 3.1, made from its operations: the same bytes from every process of a version."""

from collections.abc import Sequence
from typing import Any

import msgspec

from rollhouse import __version__
from rollhouse.http.api_operations import JSON, Operation, Parameter
from rollhouse.http.problems import API_PATH, KINDS, PROBLEM_JSON, Problem
from rollhouse.tenancy.idempotency import KEPT_HOURS, KEY_LIMIT
from rollhouse.tenancy.operators import SCOPES

_SCHEMAS = "#/components/schemas/{name}"
_ALWAYS = (400, 405, 500, 503)
_WITH_KEY = (401, 403, 429)
_WITH_BODY = (408, 413)
_WITH_IDEMPOTENCY = (409, 422)


def statuses_of(operation: Operation) -> list[int]:
    """Every status of a refusal that the operation can answer with."""
    if operation.scope is None:
        return [405, 500]
    found = {*_ALWAYS, *_WITH_KEY}
    if "{" in operation.path:
        found |= {404}
    if operation.body is not None:
        found |= {*_WITH_BODY}
    if operation.takes_idempotency_key:
        found |= {*_WITH_IDEMPOTENCY}
    if operation.takes_if_match:
        found |= {409, 412}
    return sorted(found)


def describe(operations: Sequence[Operation]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these operations."""
    structs = [kind for one in operations for kind in (one.body, one.answer) if kind is not None]
    _, schemas = msgspec.json.schema_components([Problem, *dict.fromkeys(structs)], ref_template=_SCHEMAS)
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(API_PATH + one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rollhouse admin API",
            "version": __version__,
            "description": "Tenants, their SCIM secrets, their directory and their audit, for operators. Times are RFC 3339, ids are UUIDs.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(one.group for one in operations)],
        "security": [{"operatorKey": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": {_response_name(status): _problem(status) for status in KINDS},
            "parameters": {"IfMatch": _if_match(), "IdempotencyKey": _idempotency_key()},
            "securitySchemes": {"operatorKey": {"type": "http", "scheme": "bearer", "bearerFormat": "scimok_...", "description": _scopes()}},
        },
    }


def _operation(one: Operation) -> dict[str, Any]:
    parameters = [_parameter(parameter) for parameter in one.parameters]
    if one.takes_if_match:
        parameters.append({"$ref": "#/components/parameters/IfMatch"})
    if one.takes_idempotency_key:
        parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})
    refusals = {str(status): {"$ref": f"#/components/responses/{_response_name(status)}"} for status in statuses_of(one)}
    found: dict[str, Any] = {
        "operationId": one.name,
        "tags": [one.group],
        "summary": one.summary,
        "security": [{"operatorKey": [one.scope]}] if one.scope is not None else [],
        "parameters": parameters,
        "responses": {str(one.status): _answer(one)} | refusals,
    }
    if one.body is not None:
        schema = {"$ref": _SCHEMAS.format(name=one.body.__name__)}
        content = {"schema": schema, "example": one.example or {}}
        found["requestBody"] = {"required": bool(_required(one.body)), "content": {JSON: content}}
    return found


def _required(kind: Any) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind) if field.required]


def _answer(one: Operation) -> dict[str, Any]:
    headers = {"X-Request-Id": {"description": "The id of the request, also in the audit.", "schema": {"type": "string"}}}
    if one.takes_idempotency_key:
        headers["Idempotent-Replayed"] = {"description": "true when this is the stored answer to an equal request.", "schema": {"type": "string"}}
    schema = {"type": "string"} if one.answer is str else {"type": "object"} if one.answer is None else {"$ref": _SCHEMAS.format(name=one.answer.__name__)}
    return {"description": one.summary, "headers": headers, "content": {one.media_type: {"schema": schema}}}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.description,
        "schema": {"type": parameter.kind},
        "example": int(parameter.example) if parameter.kind == "integer" else parameter.example,
    }


def _if_match() -> dict[str, Any]:
    words = "The ETag of the version that is to be changed; another version is refused with 412."
    return {"name": "If-Match", "in": "header", "required": False, "description": words, "schema": {"type": "string"}, "example": '"3"'}


def _idempotency_key() -> dict[str, Any]:
    words = f"A name for this request, best a random UUID. The same request with the same name is carried out once; its answer is kept for {KEPT_HOURS} hours."
    schema = {"type": "string", "minLength": 1, "maxLength": KEY_LIMIT}
    return {"name": "Idempotency-Key", "in": "header", "required": False, "description": words, "schema": schema}


def _problem(status: int) -> dict[str, Any]:
    kind = KINDS[status]
    headers = {"Retry-After": {"description": "Seconds to wait before the next try.", "schema": {"type": "integer"}}} if status in (409, 429, 503) else {}
    return {
        "description": f"{kind.title}. {kind.cure}",
        "headers": headers,
        "content": {PROBLEM_JSON: {"schema": {"$ref": _SCHEMAS.format(name=Problem.__name__)}}},
    }


def _response_name(status: int) -> str:
    return "".join(word.capitalize() for word in KINDS[status].anchor.split("-"))


def _scopes() -> str:
    return "An operator's key. Its scopes: " + "; ".join(f"{name}: {words}" for name, words in SCOPES.items()) + "."
