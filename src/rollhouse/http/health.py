"""The probes of Kubernetes: alive, started, ready; each 200 or 503 with JSON that says why."""

from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromQuery

from rollhouse.http.service import Service


def health_routes(service: Service) -> list[HTTPRouteHandler]:
    """The three routes, answering for `service`."""

    @get("/livez")
    async def livez() -> Response[dict[str, Any]]:
        """200 while the event loop turns; never asks a dependency, so that no outage restarts the pods."""
        return _health([])

    @get("/startupz")
    async def startupz() -> Response[dict[str, Any]]:
        """200 once the database has passed the catalog gate."""
        return _health(service.problems)

    @get("/readyz")
    async def readyz(exclude: FromQuery[str] = "") -> Response[dict[str, Any]]:
        """200 while this process can serve SCIM; with `?exclude=postgres` also while Postgres is away, when it answers 503 with Retry-After itself."""
        return _health(await service.unreadiness(asks_postgres=exclude != "postgres"))

    return [livez, startupz, readyz]


def _health(problems: list[str]) -> Response[dict[str, Any]]:
    status = 503 if problems else 200
    return Response({"status": "unavailable" if problems else "ok", "problems": problems}, status_code=status, headers={"cache-control": "no-store"})
