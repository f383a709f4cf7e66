"""One launcher per work directory, and no orphan left in it.

The lock is an advisory file lock, so it vanishes with the launcher however that dies. The file says which process group
the job runs in; a successor that finds one still alive ends it before it starts its own.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from data_contracts.errors import TransientJobError
from data_contracts.store.process_mark import process_start
from models.processes.process_group import end_foreign_group

LOCK_NAME = "job.lock"
POLL_S = 0.5
GRACE_S = 5.0


class HeldLock:
    """The work directory's lock while it is held."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    def record(self, group: int) -> None:
        """Note the job's process group for a successor."""
        entry = {"group": group, "start": process_start(group), "host": socket.gethostname(), "launcher": os.getpid()}
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(entry).encode(), 0)

    def end_orphan(self) -> int | None:
        """End the job that a dead launcher left running here; return its process group, None if there is none."""
        try:
            entry = json.loads(os.pread(self._descriptor, 4096, 0) or b"{}")
        except ValueError:
            return None
        group = entry.get("group")
        if group is None or entry.get("host") != socket.gethostname():
            return None
        if process_start(group) is None or process_start(group) != entry.get("start"):
            return None
        end_foreign_group(group, GRACE_S)
        return group


def supersede(work_dir: Path) -> None:
    """Take a work directory from a launcher that is taken for dead: end its job if it is on this host, drop its lock."""
    path = work_dir / LOCK_NAME
    if not path.exists():
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        HeldLock(path, descriptor).end_orphan()
    finally:
        os.close(descriptor)
    path.unlink()


@contextmanager
def hold(work_dir: Path, timeout_s: float, on_wait: Callable[[str], None] | None = None) -> Iterator[HeldLock]:
    """Hold the lock of `work_dir`, waiting for a live launcher to finish.

    Raises:
        TransientJobError: another live launcher still holds it after `timeout_s`.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    path = work_dir / LOCK_NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline, told = time.monotonic() + timeout_s, False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TransientJobError(
                        f"{work_dir}: another live process runs this job and did not finish within {timeout_s:.0f} s; "
                        "wait for it or end it"
                    ) from None
                if on_wait is not None and not told:
                    on_wait(f"{work_dir}: another process runs this job; waiting for it")
                    told = True
                time.sleep(POLL_S)
        yield HeldLock(path, descriptor)
    finally:
        os.close(descriptor)
