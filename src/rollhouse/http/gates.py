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
from rollhouse.tenancy.tenants import Tenant

DEADLINE_SECONDS = 8.0
"""From the arrival of a request, or of the last byte of its body, to its answer."""


class Gates(ASGIMiddleware):
    """Lets a request in whose secret belongs to the tenant in its path, while that tenant keeps within its rate.

    One middleware for both gates: each layer of the framework costs a request about 8 us of CPU.
    """

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Bind the request to its tenant and go on.

        Raises:
            Unauthorized, Forbidden, Unavailable: as `CredentialGate.tenant_of`.
            TooManyRequests: the tenant is over its limit.
        """
        state = scope["state"]
        service: Service = state["service"]
        service.require_verified()
        async with service.deadlines.after(DEADLINE_SECONDS) as deadline:
            tenant = await _pass_tenant_gate(service, scope)
            await _pass_rate_gate(service, tenant)
            if not service.in_flight.take(tenant.id):
                await service.in_flight.wait(tenant.id)
            try:
                state["exchange"] = Exchange(service, tenant, scope, state["noted"], deadline)
                await next_app(scope, receive, send)
            finally:
                service.in_flight.leave(tenant.id)


async def _pass_tenant_gate(service: Service, scope: Scope) -> Tenant:
    headers = [value for name, value in scope["headers"] if name == b"authorization"]
    secret, pasted = bearer_secret(headers[0].decode("latin-1")) if len(headers) == 1 else ("", False)
    tenant = await service.credentials.tenant_of(scope["path_params"]["tenant"], secret)
    if pasted:
        scope["state"]["noted"].add(Tolerance.PASTED_BEARER)
    return tenant


async def _pass_rate_gate(service: Service, tenant: Tenant) -> None:
    limit = service.default_limit
    if tenant.rate_per_second is not None:
        limit = Limit(tenant.rate_per_second, tenant.burst if tenant.burst is not None else limit.burst)
    if limit.rate_per_second == 0:
        return
    decision = await service.limiter.admit(str(tenant.id), limit)
    if not decision.allowed:
        RATE_LIMITED.inc()
        raise TooManyRequests(
            f"This tenant is over its limit of {limit.rate_per_second} requests a second. Wait and send the same request again.",
            retry_after_seconds=decision.retry_after_seconds,
        )
