"""Ends the API server that a killed `almost run` left behind: Prefect starts a temporary one, which outlives kill -9.

A run writes its own pid and start time into its environment, which its children inherit.
"""

import os
from contextlib import suppress

import psutil

LAUNCHER = "ALMOST_LAUNCHER"
SERVER = "prefect.server.api.server"


def end_orphaned_servers() -> int:
    """End temporary servers whose launcher is gone, and mark this process as the launcher of its own; their number."""
    orphans = [process for process in psutil.process_iter() if _is_orphan(process)]
    for process in orphans:
        with suppress(psutil.Error):
            process.terminate()
    os.environ[LAUNCHER] = _mark(psutil.Process())
    return len(orphans)


def _mark(process: psutil.Process) -> str:
    return f"{process.pid}:{process.create_time():.2f}"


def _is_orphan(process: psutil.Process) -> bool:
    try:
        if not any(SERVER in argument for argument in process.cmdline()):
            return False
        launcher = process.environ().get(LAUNCHER)
        if launcher is None:
            return False
        pid = int(launcher.split(":")[0])
        return not psutil.pid_exists(pid) or _mark(psutil.Process(pid)) != launcher
    except (psutil.Error, OSError, ValueError):  # it ended meanwhile, or is somebody else's
        return False
