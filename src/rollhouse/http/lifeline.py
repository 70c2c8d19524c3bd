"""A worker process ends when its main process is gone: an orphan would keep the port and answer for a service that nobody runs."""

import os
import threading
import time

CHECK_SECONDS = 0.5


def end_with_parent() -> None:
    """Watch the parent from a thread, so that a blocked event loop cannot keep an orphan alive."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(CHECK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
