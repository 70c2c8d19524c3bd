"""Traces by OpenTelemetry: decided before the SDK is asked for anything, so that a request that is not traced pays nothing for them."""

import logging
import random
import re
import threading
import time
from collections.abc import Mapping
from contextvars import ContextVar
from importlib.metadata import version
from typing import Literal

from opentelemetry import trace
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from rollhouse.telemetry.logs import log
from rollhouse.telemetry.metrics import TRACES

ASKED_PER_SECOND = 20
"""Traces that callers may ask for in a second by the flag of their traceparent: nobody is to make us trace everything."""
EXPORT_SECONDS = 2.0
"""Longest that the receiver is waited for, in a thread of its own; what it does not take is dropped."""
QUEUE_SPANS = 2048
CLOSE_SECONDS = 2 * EXPORT_SECONDS
"""For a batch that is on its way, and one more."""
SEND_MILLISECONDS = 1000
TOLD_SECONDS = 60.0
_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SERVER_ERROR = 500
_NS = 1_000_000_000

Kind = Literal["internal", "client"]
_KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT}


class _Nothing:
    """The span of a request that is not traced."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


class _Child:
    """A span from the beginning to the end of a block; an error that leaves the block is its status, by its type alone."""

    def __init__(self, parent: "tuple[trace.Tracer, Span]", name: str, kind: Kind, attributes: Mapping[str, str]) -> None:
        self._tracer, above = parent
        self._span = self._tracer.start_span(name, context=trace.set_span_in_context(above), kind=_KINDS[kind], attributes=attributes)

    def __enter__(self) -> None:
        self._token = _current.set((self._tracer, self._span))

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        _current.reset(self._token)
        if error is not None:
            _mark(self._span, error_type(error))
        self._span.end()


_current: ContextVar[tuple[trace.Tracer, Span] | None] = ContextVar("current_span", default=None)
"""What a new span becomes a child of; None in a request that is not traced."""
_NOTHING = _Nothing()
_NO_ATTRIBUTES: Mapping[str, str] = {}


def span(name: str, kind: Kind = "internal", attributes: Mapping[str, str] = _NO_ATTRIBUTES) -> _Child | _Nothing:
    """A block that is a span of the request's trace, if the request has one. Attributes hold names of operations, never values of people."""
    parent = _current.get()
    return _NOTHING if parent is None else _Child(parent, name, kind, attributes)


def error_type(error: BaseException) -> str:
    """What an error is called in telemetry: its SQLSTATE, or that of its cause, else its type."""
    cause = error.__cause__ or error
    return getattr(cause, "sqlstate", None) or type(cause).__name__


def _mark(made: Span, what: str) -> None:
    made.set_attribute("error.type", what)
    made.set_status(Status(StatusCode.ERROR))


class Request:
    """The trace of one request; `trace_id` is its caller's, or made of its request id, whether it is traced or not."""

    __slots__ = ("_parent", "_span", "_token", "_tracer", "trace_id")

    def __init__(self, tracer: "Tracer | None", parent: tuple[str, str] | None, request_id: str) -> None:
        self._tracer = tracer
        self._parent = parent
        self._span: Span | None = None
        self.trace_id = parent[0] if parent is not None else request_id.rjust(32, "0")

    @property
    def is_traced(self) -> bool:
        """Whether spans are made."""
        return self._span is not None

    def begin(self, tracer: "Tracer") -> None:
        """Make the server span, and let others become its children."""
        self._span = tracer.server(self.trace_id, self._parent, time.time_ns())
        self._token = _current.set((tracer.tracer, self._span))

    def end(self, method: str, route: str, status: int, seconds: float, *, tenant: str | None, error: str | None) -> None:
        """End the server span; one that was not begun is made now if the request failed by our fault."""
        made, ended = self._span, time.time_ns()
        if made is not None:
            _current.reset(self._token)
        elif self._tracer is not None and status >= _SERVER_ERROR:
            made = self._tracer.server(self.trace_id, self._parent, ended - int(seconds * _NS))
            TRACES.labels("failed").inc()
        else:
            return
        made.update_name(f"{method} {route}")
        made.set_attributes({"http.request.method": method, "http.route": route, "http.response.status_code": status})
        if tenant is not None:
            made.set_attribute("rollhouse.tenant", tenant)
        if status >= _SERVER_ERROR:
            _mark(made, error or str(status))
        made.end(ended)


class Tracer:
    """Decides which requests are traced, and hands their spans to an OTLP receiver in the background."""

    def __init__(self, endpoint: str, one_in: int) -> None:
        """Set the SDK up; nothing is sent before the first trace.

        `endpoint` is the receiver's address, e.g. http://otel-collector:4318; one request in `one_in` is traced, none for 0.
        """
        # SDK and exporter cost a process 5 MB: only who has a receiver pays for them.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415

        self._share = 1 / one_in if one_in else 0.0
        self._ids = _TraceIds()
        release = version("rollhouse")
        resource = Resource({"service.name": "rollhouse", "service.version": release})
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUE_SPANS, schedule_delay_millis=SEND_MILLISECONDS))
        self.tracer = self._provider.get_tracer("rollhouse", release)
        self._second, self._asked = 0, 0
        logger = logging.getLogger("opentelemetry")
        logger.handlers, logger.propagate = [_Told()], False

    def request(self, traceparent: bytes, request_id: str) -> Request:
        """The trace of a request that has just come: begun if it is one of the sample, or if its caller traces it."""
        parent, is_asked = _parent_of(traceparent)
        found = Request(self, parent, request_id)
        if is_asked and self._may_ask():
            TRACES.labels("asked").inc()
            found.begin(self)
        elif random.random() < self._share:  # noqa: S311 - a sample
            TRACES.labels("sampled").inc()
            found.begin(self)
        return found

    def server(self, trace_id: str, parent: tuple[str, str] | None, started: int) -> Span:
        """A server span of that trace, a child of the caller's span if there is one; `started` in nanoseconds since 1970."""
        context = None
        if parent is not None:
            caller = SpanContext(int(parent[0], 16), int(parent[1], 16), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
            context = trace.set_span_in_context(NonRecordingSpan(caller))
        self._ids.next = int(trace_id, 16)
        return self.tracer.start_span("request", context=context, kind=SpanKind.SERVER, start_time=started)

    def close(self) -> None:
        """Send what waits; blocks for four seconds at most, what is left then is lost.

        The provider's own end waits half a minute, and its flush as long as each batch takes (opentelemetry-python issue 4568).
        """
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(CLOSE_SECONDS)

    def _may_ask(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._asked = second, 0
        self._asked += 1
        return self._asked <= ASKED_PER_SECOND


class _TraceIds(RandomIdGenerator):
    """Gives the next trace the id that its request has already in the log."""

    next = 0

    def generate_trace_id(self) -> int:
        """The id that was set, which the SDK asks for when a span has no parent."""
        return self.next or super().generate_trace_id()


class _Told(logging.Handler):
    """Says once a minute that the receiver takes no spans: the SDK says it for each batch."""

    _until = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line of ours for one of the SDK's."""
        now = time.monotonic()
        if record.levelno >= logging.WARNING and now >= self._until:
            self._until = now + TOLD_SECONDS
            log("traces.not_sent", cure="check ROLLHOUSE_OTLP_ENDPOINT and that the receiver runs; requests are served as ever")


def untraced(traceparent: bytes, request_id: str) -> Request:
    """The trace of a request where nothing is traced: its id alone."""
    return Request(None, _parent_of(traceparent)[0], request_id)


def _parent_of(traceparent: bytes) -> tuple[tuple[str, str] | None, bool]:
    """The caller's trace and span ids (W3C Trace Context section 3.2), and whether it traces the request itself."""
    match = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if match is None or not match[1].strip(b"0") or not match[2].strip(b"0"):
        return None, False
    return (match[1].decode(), match[2].decode()), bool(int(match[3], 16) & 1)
