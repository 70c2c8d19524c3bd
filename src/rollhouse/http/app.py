"""The composition root: settings to a served application."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from rollhouse.http.answers import refuse, refuse_fault, refuse_framework_error
from rollhouse.http.api import api_router
from rollhouse.http.edge import Edge
from rollhouse.http.gates import Gates
from rollhouse.http.health import health_routes
from rollhouse.http.lifeline import end_with_parent
from rollhouse.http.oauth_routes import oauth_router
from rollhouse.http.problems import by_path, refuse_api, refuse_api_fault, refuse_api_framework_error
from rollhouse.http.scim_routes import DiscoveryController, EverythingController, MeController, ResourceController
from rollhouse.http.service import Service
from rollhouse.portal.pages import guarded, refuse_framework_page, refuse_page, refuse_page_fault
from rollhouse.portal.routes import portal_router
from rollhouse.scim.errors import ScimError
from rollhouse.settings import SettingsError, read_settings
from rollhouse.telemetry.logs import write_in

CANNOT_BE_USED = 3
"""The exit code of a process whose settings cannot be used, as of every command that needs something done first."""
SCIM_PATH = "/t/{tenant:str}/scim/v2"


def scim_router() -> Router:
    """The SCIM routes of every tenant behind their gates."""
    return Router(SCIM_PATH, middleware=[Gates()], route_handlers=[DiscoveryController, EverythingController, MeController, ResourceController])


def assemble(service: Service) -> Edge:
    """The whole application around a service."""

    @asynccontextmanager
    async def serving(_: Litestar) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    refusals: dict[int | type[Exception], Any] = {
        ScimError: by_path(refuse, refuse_api, guarded(service.portal, refuse_page)),
        HTTPException: by_path(refuse_framework_error, refuse_api_framework_error, guarded(service.portal, refuse_framework_page)),
        Exception: by_path(refuse_fault, refuse_api_fault, guarded(service.portal, refuse_page_fault)),
    }
    litestar = Litestar(
        route_handlers=[*health_routes(service), api_router(), scim_router(), oauth_router(service), portal_router()],
        state=State({"portal": service.portal}),
        lifespan=[serving],
        exception_handlers=refusals,
        request_max_body_size=service.body_limit_bytes,
        openapi_config=None,
        logging_config=None,
        debug=False,
    )
    return Edge(litestar, service)


def create_app() -> Edge:
    """The application as a server process runs it, configured by the environment.

    An environment that cannot be used ends the process with 3, and a message that says what to set.
    """
    end_with_parent()
    try:
        settings = read_settings(os.environ)
        service = Service(settings)
    except SettingsError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.stderr.flush()
        os._exit(CANNOT_BE_USED)  # an exception would be told as a fault of the program, with its frames
    write_in(settings.log_format)
    return assemble(service)
