"""What ties a worker process to its main process: it ends when that is gone, and hears from it that the end has come."""

import multiprocessing
import os
import threading
import time

CHECK_SECONDS = 0.5
_ENDING = multiprocessing.get_context("fork").Event()
"""Shared with the worker, which is forked after this module was imported."""


def announce_end() -> None:
    """Tell the worker, before it is asked to stop, that answers without an end are to end now: it waits for all that are under way."""
    _ENDING.set()


def is_ending() -> bool:
    """Whether the end has come."""
    return _ENDING.is_set()


def end_with_parent() -> None:
    """Watch the parent from a thread, so that a blocked event loop cannot keep an orphan alive."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(CHECK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
