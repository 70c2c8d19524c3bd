"""The admin API: every operation, its route behind the key's gate, its description and its documentation."""

import re
from typing import Any

import msgspec
from litestar import HttpMethod, Router
from litestar.handlers import HTTPRouteHandler

from rollhouse.http import api_credentials, api_definitions, api_directory, api_keys, api_tenants
from rollhouse.http.answers import Answer, ScimRequest
from rollhouse.http.api_calls import Call, Outcome
from rollhouse.http.api_document import describe
from rollhouse.http.api_doors import Doors, carry_out
from rollhouse.http.api_operations import Operation, operation
from rollhouse.http.api_pages import CONTENT_SECURITY_POLICY, STYLE_SHEET, render_page
from rollhouse.http.problems import API_PATH, API_REFUSALS

BODY_LIMIT_BYTES = 64 * 1024
_PATH_PARAMETER = re.compile(r"\{(\w+)\}")


@operation("GET", "/openapi.json", scope=None, answer=None)
async def get_description(_: Call) -> Outcome:
    """Read the description of this API in OpenAPI 3.1."""
    return Outcome(body=_DESCRIPTION)


@operation("GET", "/docs", scope=None, answer=str, media_type="text/html; charset=utf-8")
async def get_documentation(call: Call) -> Outcome:
    """Read this page."""
    return Outcome(body=render_page(OPERATIONS, call.service.public_url), headers=(("content-security-policy", CONTENT_SECURITY_POLICY),))


@operation("GET", "/docs.css", scope=None, answer=str, media_type="text/css; charset=utf-8")
async def get_style_sheet(_: Call) -> Outcome:
    """Read the style sheet of this page."""
    return Outcome(body=STYLE_SHEET)


OPERATIONS: tuple[Operation, ...] = (
    *api_tenants.OPERATIONS,
    *api_credentials.OPERATIONS,
    *api_directory.OPERATIONS,
    *api_definitions.OPERATIONS,
    *api_keys.OPERATIONS,
    get_description,
    get_documentation,
    get_style_sheet,
)
_DESCRIPTION = msgspec.json.encode(describe(OPERATIONS))


def api_router() -> Router:
    """The routes of the admin API behind their gate."""
    return Router(
        API_PATH,
        middleware=[Doors()],
        exception_handlers=API_REFUSALS,
        request_max_body_size=BODY_LIMIT_BYTES,
        route_handlers=[_route(one) for one in OPERATIONS],
    )


def _route(one: Operation) -> HTTPRouteHandler:
    async def handle(request: ScimRequest) -> Answer:
        state: dict[str, Any] = request.scope["state"]
        return await carry_out(one, Call(state["service"], state["operator"], request))

    path = _PATH_PARAMETER.sub(r"{\1:str}", one.path)
    return HTTPRouteHandler(path, http_method=HttpMethod(one.method), status_code=one.status, opt={"operation": one}, name=f"api.{one.name}")(handle)
