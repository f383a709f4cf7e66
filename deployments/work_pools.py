"""The two work pools, and what is left in them by a server that was stopped while runs were going on."""

import socket
from uuid import UUID

import psutil
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

CPU_POOL, GPU_POOL = "almost-cpu", "almost-gpu"
GPU_SLOTS = 1  # one heavy stage at a time: stages do not share a GPU, nor the cores of a small machine
ALIVE = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
PAGE = 200  # the API's limit


def create_pools() -> None:
    """Make the process pools that are missing; limits that a person has set stay."""
    with get_client(sync_client=True) as client:
        for name, slots in ((CPU_POOL, None), (GPU_POOL, GPU_SLOTS)):
            try:
                pool = client.read_work_pool(name)
                if pool.concurrency_limit is None and slots is not None:
                    client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=slots))
            except ObjectNotFound:
                client.create_work_pool(WorkPoolCreate(name=name, type="process", concurrency_limit=slots))


def mark_dead_runs(no_worker_left: bool) -> int:
    """Set runs whose process on this machine is gone to Crashed; they would hold the pool's slots for ever.

    With `no_worker_left`, also runs that a worker had taken but not yet given a process. Returns their number.
    """
    with get_client(sync_client=True) as client:
        dead = [run for run in _alive_runs(client) if _is_dead(run, no_worker_left)]
        for run in dead:
            _crash(client, run.id)
        return len(dead)


def _alive_runs(client: SyncPrefectClient) -> list[FlowRun]:
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=ALIVE))),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[CPU_POOL, GPU_POOL])),
        limit=PAGE,
    )


def _is_dead(run: FlowRun, no_worker_left: bool) -> bool:
    host, _, pid = (run.infrastructure_pid or "").rpartition(":")
    if not pid.isdigit():
        return no_worker_left
    return host == socket.gethostname() and not psutil.pid_exists(int(pid))


def _crash(client: SyncPrefectClient, run_id: UUID) -> None:
    message = "The server was stopped while this ran. Start it again: what is in the store is not made again."
    client.set_flow_run_state(run_id, Crashed(message=message), force=True)
