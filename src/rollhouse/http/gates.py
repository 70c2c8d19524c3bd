"""The two gates before every SCIM route: whose request it is, and whether that tenant may make one more now.

They hold nothing of their own (Litestar copies its middlewares): the edge hands the service in with each request.
"""

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from rollhouse.http.exchange import Exchange
from rollhouse.http.service import Service
from rollhouse.limits.gcra import Limit
from rollhouse.scim.errors import TooManyRequests
from rollhouse.scim.tolerances import Tolerance
from rollhouse.telemetry.metrics import RATE_LIMITED
from rollhouse.tenancy.secrets import bearer_secret


class TenantGate(ASGIMiddleware):
    """Lets a request in whose bearer secret belongs to the tenant in its path, and binds it to that tenant."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Raises:
        Unauthorized, Forbidden, Unavailable: as `CredentialGate.tenant_of`.
        """
        service: Service = scope["state"]["service"]
        service.require_verified()
        headers = [value for name, value in scope["headers"] if name == b"authorization"]
        secret, pasted = bearer_secret(headers[0].decode("latin-1")) if len(headers) == 1 else ("", False)
        tenant = await service.credentials.tenant_of(scope["path_params"]["tenant"], secret)
        noted: set[Tolerance] = scope["state"]["noted"]
        if pasted:
            noted.add(Tolerance.PASTED_BEARER)
        scope["state"]["exchange"] = Exchange(service, tenant, scope, noted)
        await next_app(scope, receive, send)


class RateGate(ASGIMiddleware):
    """Lets a tenant's request pass while the tenant keeps within its rate."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Raises:
        TooManyRequests: the tenant is over its limit.
        """
        service: Service = scope["state"]["service"]
        tenant = scope["state"]["exchange"].tenant
        default = service.default_limit
        limit = default
        if tenant.rate_per_second is not None:
            limit = Limit(tenant.rate_per_second, tenant.burst if tenant.burst is not None else default.burst)
        decision = await service.limiter.admit(str(tenant.id), limit)
        if not decision.allowed:
            RATE_LIMITED.inc()
            raise TooManyRequests(
                f"This tenant is over its limit of {limit.rate_per_second} requests a second. Wait and send the same request again.",
                retry_after_seconds=decision.retry_after_seconds,
            )
        await next_app(scope, receive, send)
