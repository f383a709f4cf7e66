"""Ending a process with everything it started: a job's or a server's process group, and the group a dead launcher left."""

import os
import signal
import subprocess
import time
from contextlib import suppress

from data_contracts.store.process_mark import process_start
from models.processes.job_output import JobProcess


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to a process group; nothing happens when it is gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def end_group(leader: JobProcess, grace_s: float) -> None:
    """End the group of a child that leads it: SIGTERM, SIGKILL after `grace_s`, and whatever an ended leader left behind."""
    if leader.poll() is None:
        signal_group(leader.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            leader.wait(grace_s)
    signal_group(leader.pid, signal.SIGKILL)
    leader.wait()


def end_foreign_group(group: int, grace_s: float) -> None:
    """End a group whose leader is not this process's child: SIGTERM, then SIGKILL after `grace_s`."""
    signal_group(group, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while process_start(group) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    signal_group(group, signal.SIGKILL)
    while process_start(group) is not None:
        time.sleep(0.05)
