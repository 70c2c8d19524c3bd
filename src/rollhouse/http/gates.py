"""The gates before every SCIM route: whose request it is, whether that tenant may make one more now, and for how long it may take.

They hold nothing of their own (Litestar copies its middlewares): the edge hands the service in with each request.
"""

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from rollhouse.http.exchange import COST_OF_READ, COST_OF_WRITE, Exchange
from rollhouse.http.service import Service
from rollhouse.http.sources import source_of
from rollhouse.scim.errors import TooManyRequests, Unavailable
from rollhouse.scim.tolerances import Tolerance
from rollhouse.telemetry.traces import span
from rollhouse.tenancy.access import Access, WrongSecret
from rollhouse.tenancy.secrets import bearer_secret, lookup_id_of
from rollhouse.tenancy.tenants import Tenant

DEADLINE_SECONDS = 8.0
"""From the arrival of a request to its answer; the time that its body takes is not counted."""
_READS = ("GET", "HEAD")


class Gates(ASGIMiddleware):
    """Lets a request in whose secret belongs to the tenant in its path, while that tenant keeps within its rate and its share.

    One middleware for all gates: each layer of the framework costs a request about 8 us of CPU.
    """

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Bind the request to its tenant and go on.

        Raises:
            Unauthorized, Forbidden, Unavailable: as `CredentialGate.access_by`.
            TooManyRequests: the tenant is over its limit, or the source has failed too often.
        """
        state = scope["state"]
        service: Service = state["service"]
        service.require_verified()
        with service.deadlines.after(DEADLINE_SECONDS) as deadline:
            with span("tenant gate"):
                access = await _pass_tenant_gate(service, scope)
            tenant = access.tenant
            # `known` first: a coroutine for what needs none would cost every request a microsecond.
            exchange = Exchange(service, access, scope, deadline, service.registries.known(tenant) or await service.registries.of(tenant))
            state["exchange"] = exchange
            is_read = scope["method"] in _READS or scope["path"].endswith("/.search")  # type: ignore[typeddict-item]
            with span("rate gate"):
                await exchange.charge(COST_OF_READ if is_read else COST_OF_WRITE)
            if not service.in_flight.take(tenant.id):
                await _wait_in_flight(service, tenant)
            try:
                with span("handler"):
                    await next_app(scope, receive, send)
            finally:
                service.in_flight.leave(tenant.id)


async def _pass_tenant_gate(service: Service, scope: Scope) -> Access:
    headers = [value for name, value in scope["headers"] if name == b"authorization"]
    secret, pasted = bearer_secret(headers[0].decode("latin-1")) if len(headers) == 1 else ("", False)
    try:
        access = await service.gate.access_by(scope["path_params"]["tenant"], secret, is_read=scope["method"] in _READS)  # type: ignore[typeddict-item]
    except WrongSecret as error:
        scope["state"]["wrong_secret"] = error
        await service.failures.note(lookup_id_of(secret), source_of(scope, service.trusted_proxies))
        raise
    if pasted:
        scope["state"]["noted"].add(Tolerance.PASTED_BEARER)
    return access


async def _wait_in_flight(service: Service, tenant: Tenant) -> None:
    try:
        await service.in_flight.wait(tenant.id)
    except Unavailable as error:
        if service.in_flight.has_share(tenant.id):
            raise
        raise TooManyRequests(
            f"This tenant has {service.in_flight.share} requests under way. Wait for their answers before you send more.",
            retry_after_seconds=error.retry_after_seconds,
        ) from None
