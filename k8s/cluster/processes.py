"""Processes and network namespaces of the test cluster: each process is noted when it is started, and ended by its id."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

WAIT_SECONDS = 90.0
CLONE_NEWNET = 0x40000000


class Processes:
    """The processes under one folder: a log for each, and a note of their ids that outlives whoever started them."""

    def __init__(self, folder: Path) -> None:
        """Nothing is started yet."""
        self._folder = folder
        self._note = folder / "processes.json"
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str], *, namespace: str) -> int:
        """Start a program in a network namespace, in a session of its own; its id."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{name}.log").open("ab") as log:
            inside = ["nsenter", f"--net=/run/netns/{namespace}", *command]
            started = subprocess.Popen(inside, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self._children[started.pid] = started
        noted = self._read()
        noted[name] = [started.pid, _began(started.pid)]
        self._note.write_text(json.dumps(noted))
        return started.pid

    def stop(self, name: str, seconds: float = 10.0) -> None:
        """End one by its id: asked first, then killed."""
        noted = self._read()
        if name not in noted:
            return
        pid, began = noted.pop(name)
        if _began(pid) == began:
            for how, wait in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, how)
                if self._ends(pid, began, wait):
                    break
        self._note.write_text(json.dumps(noted))

    def _ends(self, pid: int, began: str, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while _began(pid) == began:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        if pid in self._children:
            self._children.pop(pid).wait()
        return True

    def names(self) -> list[str]:
        """Those that were started and not stopped, the last first."""
        return list(reversed(self._read()))

    def log(self, name: str) -> str:
        """The end of what one said."""
        path = self._folder / f"{name}.log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    def _read(self) -> dict[str, list]:
        try:
            return json.loads(self._note.read_text())  # type: ignore[no-any-return]
        except (OSError, ValueError):
            return {}


def _began(pid: int) -> str:
    """When the process with that id began, in ticks since boot; "" if there is none: an id may be another's by now."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def run(*command: str, check: bool = True, stdin: str | None = None) -> str:
    """What a program prints.

    Raises:
        RuntimeError: it failed; the message is the end of what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False, input=stdin)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)[:300]} failed ({done.returncode}):\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def wait_for(told: str, is_so: Callable[[], Any], seconds: float = WAIT_SECONDS, pause: float = 0.25) -> Any:
    """What `is_so` returns once it is true; failures of a command count as not yet.

    Raises:
        TimeoutError: it did not come about in time; the message has what was last seen.
    """
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = is_so()
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            last = error
        else:
            if last:
                return last
        time.sleep(pause)
    raise TimeoutError(f"{told} did not come about in {seconds:.0f} s; last seen: {last}")


def inside(namespace: str, work: Callable[[], Any]) -> Any:
    """What `work` returns, done by a thread of its own in a network namespace: only that thread sees its addresses."""

    def enter() -> Any:
        with Path(f"/run/netns/{namespace}").open() as place:
            if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "the network namespace cannot be entered")
        return work()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(enter).result()
