"""The two work pools, and what is left in them by a server that was stopped while runs were going on."""

import socket
from collections.abc import Collection
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
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from deployments.server.serve_workers import CPU_POOL, GPU_POOL

GPU_SLOTS = 1  # one heavy step at a time: steps do not share a GPU, nor the cores of a small machine
ALIVE = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
PAGE = 200  # the API's limit


def create_pools(gpu_slots: int = 0) -> None:
    """Make the process pools that are missing; limits that a person has set stay, unless `gpu_slots` is given."""
    with get_client(sync_client=True) as client:
        for name, slots in ((CPU_POOL, None), (GPU_POOL, gpu_slots or GPU_SLOTS)):
            try:
                pool = client.read_work_pool(name)
                if slots is not None and (pool.concurrency_limit is None or gpu_slots):
                    client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=slots))
            except ObjectNotFound:
                client.create_work_pool(WorkPoolCreate(name=name, type="process", concurrency_limit=slots))


def worker_name(pool: str, mark: str) -> str:
    """Name of a worker that `almost serve` starts."""
    return f"{pool}{_of_this_host()}{mark})"


def mark_dead_runs(ended: Collection[int] = ()) -> int:
    """Set runs whose process is gone to Crashed, for they would hold a slot of the pool for ever; returns their number.

    Gone is a run whose process is among `ended`, and, when no worker but those of `almost serve` on this machine is
    online (these have been stopped, whatever their last heartbeat says), every run without a living process here.
    """
    with get_client(sync_client=True) as client:
        abandoned = not _others_online(client)
        dead = [run for run in _alive_runs(client) if _is_dead(run, ended, abandoned)]
        for run in dead:
            _crash(client, run.id)
        return len(dead)


def _others_online(client: SyncPrefectClient) -> bool:
    workers = [worker for pool in (CPU_POOL, GPU_POOL) for worker in client.read_workers_for_work_pool(pool)]
    return any(worker.status is WorkerStatus.ONLINE and _of_this_host() not in worker.name for worker in workers)


def _of_this_host() -> str:
    return f" on {socket.gethostname()} ("


def _alive_runs(client: SyncPrefectClient) -> list[FlowRun]:
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=ALIVE))),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[CPU_POOL, GPU_POOL])),
        limit=PAGE,
    )


def _is_dead(run: FlowRun, ended: Collection[int], abandoned: bool) -> bool:
    written = (run.infrastructure_pid or "").rpartition(":")[2]
    pid = int(written) if written.isdigit() else None
    if pid in ended:
        return True
    return abandoned and (pid is None or not psutil.pid_exists(pid))


def _crash(client: SyncPrefectClient, run_id: UUID) -> None:
    message = "The server was stopped while this ran. Start it again: what is in the store is not made again."
    client.set_flow_run_state(run_id, Crashed(message=message), force=True)
