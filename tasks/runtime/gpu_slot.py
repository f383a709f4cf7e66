"""One job per GPU of a machine: a deployed step holds a lock file for each device it may use, whoever started it.

The devices are those of CUDA_VISIBLE_DEVICES, which the pool's worker was given. The kernel lets go of the locks of a
process that ends, however it ends. Without the variable, and outside of workers, nothing is locked.
"""

import fcntl
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from tasks.runtime.flow_log import started_by_worker

POLL_S = 1.0
log = logging.getLogger("almost.gpu")


def devices_of(visible: str | None) -> list[str]:
    """The devices a process may use, sorted: locks are taken in one order, so that no two wait for each other."""
    return sorted({device.strip() for device in (visible or "").split(",") if device.strip()})


@contextmanager
def gpu_slot() -> Iterator[None]:
    """Inside, no other step of this user on this machine uses the GPUs that this process sees."""
    with ExitStack() as held:
        if started_by_worker():
            for device in devices_of(os.environ.get("CUDA_VISIBLE_DEVICES")):
                held.enter_context(_locked(device))
        yield


@contextmanager
def _locked(device: str) -> Iterator[None]:
    name = f"almost-gpu-{os.getuid()}-{re.sub(r'[^A-Za-z0-9-]', '_', device)}.lock"
    with Path(tempfile.gettempdir(), name).open("w") as file:
        if not _try_lock(file):
            log.warning("GPU %s is in use by another step on this machine; waiting for it", device)
            while not _try_lock(file):
                time.sleep(POLL_S)
        yield


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
