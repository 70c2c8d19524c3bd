"""What ties a worker process to its main process: it ends when that is gone, and hears from it that the end has come."""

import os
import threading
import time
from multiprocessing.sharedctypes import RawValue

CHECK_SECONDS = 0.5
_ENDING = RawValue("b", 0)
"""Shared with the worker, which is forked after this module was imported; read at every request."""


def announce_end() -> None:
    """Tell the worker, before it is asked to stop, that answers without an end are to end now: it waits for all that are under way."""
    _ENDING.value = 1


def is_ending() -> bool:
    """Whether the end has come."""
    return bool(_ENDING.value)


def end_with_parent() -> None:
    """Watch the parent from a thread, so that a blocked event loop cannot keep an orphan alive."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(CHECK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
