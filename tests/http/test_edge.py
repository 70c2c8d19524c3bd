"""What the outermost layer leaves behind a request."""

import gc
import weakref
from types import SimpleNamespace
from typing import Any

from rollhouse.http.edge import Edge


class Exchange:
    """As the exchange of a request, it refers to the scope that leads to it."""

    def __init__(self, scope: Any) -> None:
        self.scope = scope
        self.tenant = SimpleNamespace(slug="acme")
        self.credential_id, self.read_body, self.looked_for, self.registry = "1", b"", None, None


async def test_a_request_leaves_nothing_to_the_garbage_collector() -> None:
    """Scope, state and exchange lead to each other; left alone they would wait for a collection, which walks all that lives."""
    left: list[weakref.ref[Exchange]] = []

    async def app(scope: Any, _: Any, send: Any) -> None:
        exchange = scope["state"]["exchange"] = Exchange(scope)
        left.append(weakref.ref(exchange))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(_: Any) -> None: ...

    noted: list[Any] = []
    service: Any = SimpleNamespace(tracer=None, active_requests=0, request_log=SimpleNamespace(note=noted.append))
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/t/acme/scim/v2/Users", "query_string": b"", "headers": [], "path_template": "/x"}
    gc.collect()
    gc.disable()
    try:
        await Edge(app, service)(scope, None, send)  # type: ignore[arg-type]
        del scope
        assert [one() for one in left] == [None]
    finally:
        gc.enable()
    assert [(one.slug, one.status, one.credential_id) for one in noted] == [("acme", 200, "1")]
