"""A cancelled or terminated flow ends within seconds, with every process it started.

Prefect sends SIGTERM, which raises TerminationSignal in the main thread; SIGKILL follows after 30 s. Job processes end
with the thread that waits for them, or with this process. Threads that still work are not waited for.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.exceptions import TerminationSignal

GRACE_S = 8.0
TERMINATED = 143  # 128 + SIGTERM


@contextmanager
def ending_promptly() -> Iterator[None]:
    """Inside, a termination lets the flow clean up for GRACE_S seconds; then the process ends, whatever runs in it."""
    try:
        yield
    except TerminationSignal:
        timer = threading.Timer(GRACE_S, os._exit, (TERMINATED,))
        timer.daemon = True
        timer.start()
        raise
