"""A real OTLP receiver (rotel, a collector written in Rust) that keeps the spans it is sent as lines of JSON."""

import importlib.util
import json
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.servers.service import free_port

KEEP = """
import json


def text(value):
    value = getattr(value, "value", value)
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def process_spans(sent):
    try:
        with open({out!r}, "a") as out:
            of = {{one.key: text(one.value) for one in sent.resource.attributes}} if sent.resource else {{}}
            for scope in sent.scope_spans:
                for span in scope.spans:
                    kept = {{
                        "trace": bytes(span.trace_id).hex(),
                        "id": bytes(span.span_id).hex(),
                        "parent": bytes(span.parent_span_id).hex(),
                        "name": span.name,
                        "kind": span.kind,
                        "start": span.start_time_unix_nano,
                        "end": span.end_time_unix_nano,
                        "attributes": {{one.key: text(one.value) for one in span.attributes}},
                        "status": span.status.code if span.status else 0,
                        "resource": of,
                    }}
                    out.write(json.dumps(kept) + "\\n")
    except Exception as error:
        print("PROCESSOR FAILED", repr(error), flush=True)
"""


class Receiver:
    """One receiver process; `spans` are those that have arrived."""

    def __init__(self, folder: Path) -> None:
        found = importlib.util.find_spec("rotel")
        assert found is not None
        assert found.origin is not None
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._out, self.log, processor = folder / "spans.jsonl", folder / "receiver.log", folder / "keep.py"
        processor.write_text(KEEP.format(out=str(self._out)))
        command = [str(Path(found.origin).with_name("rotel-agent")), "start", "--otlp-http-endpoint", f"127.0.0.1:{self.port}"]
        command += ["--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}", "--exporter", "blackhole", "--otlp-with-trace-processor", str(processor)]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output)
        deadline = time.monotonic() + 15
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, f"the receiver ended; cure: tests/servers/install\n{self.log.read_text()}"
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    @property
    def spans(self) -> list[dict[str, Any]]:
        assert "PROCESSOR FAILED" not in self.log.read_text()
        return [json.loads(line) for line in self._out.read_text().splitlines()] if self._out.exists() else []

    def wait_for(self, trace: str, count: int) -> list[dict[str, Any]]:
        """The spans of a trace, once there are so many."""
        deadline = time.monotonic() + 20
        while True:
            found = [one for one in self.spans if one["trace"] == trace]
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, (trace, self.spans[-20:])
            time.sleep(0.1)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
