"""What the process of a deployed flow prints, in a file beside the store: a worker does not keep it.

With `stream_output: false` a worker survives its flow and the flow its worker, but output goes nowhere. The end of the
file is put into the error of whoever waits for the flow, as far as both see the same scratch folder.
"""

import os
import sys
from pathlib import Path
from uuid import UUID

from data_contracts.store.artifact_store import Store

FLOW_RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"  # set by workers for the process they start
TAIL_BYTES, TAIL_LINES = 8192, 15


def started_by_worker() -> bool:
    """Whether a Prefect worker started this process: there is a server then, and a page of this run."""
    return bool(os.environ.get(FLOW_RUN_VARIABLE))


def log_path(store: Store, flow_run_id: UUID | str) -> Path:
    """The log file of a flow run."""
    return store.scratch / "logs" / f"{flow_run_id}.log"


def print_to_log_file(store: Store) -> Path | None:
    """Send this process's output to its flow run's log file; None, and nothing is changed, when no worker started it."""
    if not started_by_worker():
        return None
    path = log_path(store, os.environ[FLOW_RUN_VARIABLE])
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
    finally:
        os.close(descriptor)
    return path


def tail_of(store: Store, flow_run_id: UUID | str) -> str:
    """The last lines a flow run's process printed; empty when it printed none, or somewhere else."""
    try:
        with log_path(store, flow_run_id).open("rb") as source:
            source.seek(0, os.SEEK_END)
            source.seek(max(0, source.tell() - TAIL_BYTES))
            text = source.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-TAIL_LINES:])
