"""Dispatch of a step to its deployment on the GPU pool: attach or start, wait, and read why it ended.

The store was asked before: what it holds is never dispatched. A run of the same call that is waiting or running, whoever
started it, is attached to, so a retried orchestrator and a second identical run find the work that is going on. The
number of earlier runs of a call is part of the idempotency key: two that dispatch at the same moment get one run. A
child that crashed or was evicted is started again; the store then holds what it had finished.
"""

import time
from typing import Any
from uuid import UUID, uuid4

from prefect import Task, get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, WorkerStatus
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound, TerminationSignal
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelling, Pending, Scheduled

from data_contracts.errors import ConfigError, JobError, TransientJobError
from data_contracts.store.artifact_store import Store
from tasks.runtime.context import current
from tasks.runtime.flow_log import tail_of
from tasks.runtime.graph_edges import inputs_from, nothing

CRASHES = 2  # how often a crashed child is started again
POLL_S = 1.0
CALL_TAG = "almost-call"


class Dispatch:
    """One call of a step, on its way through the pool."""

    def __init__(self, deployment: str, name: str, key: str, parameters: dict[str, Any], store: Store) -> None:
        self.deployment, self.name = deployment, name
        self.tag = f"{CALL_TAG}:{key}"
        self.parameters, self.store = parameters, store
        self.child: FlowRun | None = None
        self.own = False  # whether this flow started the child

    def run(self, no_worker_s: float) -> FlowRun:
        """Attach or start, wait, and start again after a crash; returns the completed child.

        Raises:
            ConfigError: the step's deployment does not exist.
            TransientJobError: no worker of its pool was online for `no_worker_s` seconds.
            JobError: it failed, was cancelled, or crashed too often.
        """
        with get_client(sync_client=True) as client:
            deployment = self._deployment(client)
            for crashes in range(CRASHES + 1):
                child = self._wait(client, deployment, self._attach_or_start(client, deployment), no_worker_s)
                state = child.state
                assert state is not None
                if state.is_completed():
                    return child
                again = state.is_crashed() or (state.is_cancelled() and not self.own)
                if not again or crashes == CRASHES:
                    raise JobError(self._ending(child))
                get_run_logger().warning("%s; starting it again", self._ending(child))
        raise AssertionError("unreachable")

    def _deployment(self, client: SyncPrefectClient) -> DeploymentResponse:
        try:
            return client.read_deployment_by_name(self.deployment)
        except ObjectNotFound as error:
            raise ConfigError(
                f"there is no deployment {self.deployment}; deploy the project (prefect deploy --all), "
                "or set placement.heavy=inline"
            ) from error

    def _attach_or_start(self, client: SyncPrefectClient, deployment: DeploymentResponse) -> FlowRun:
        earlier = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[self.tag])),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        )
        for run in earlier:
            if run.state is not None and not run.state.is_final() and not run.state.is_cancelling():
                get_run_logger().info("attached to flow run %s (%s), which does this already", run.name, run.id)
                self.child, self.own = run, self._is_ours(client, run)
                return run
        attempt = 1 + max([0, *(_attempt(run) for run in earlier)])
        parent = client.create_task_run(
            Task(fn=nothing, name=self.deployment, version=deployment.version),
            flow_run_id=UUID(str(flow_run.id)),
            dynamic_key=uuid4().hex,
            task_inputs=inputs_from(self._producers()),
            state=Pending(),
        )
        run = client.create_flow_run_from_deployment(
            deployment.id,
            parameters=self.parameters,
            state=Scheduled(),
            name=self.name,
            tags=[self.tag],
            idempotency_key=f"{self.tag}:{attempt}",
            parent_task_run_id=parent.id,
        )
        self.child, self.own = run, run.parent_task_run_id == parent.id
        return run

    def _producers(self) -> list[UUID]:
        record = current().record
        return record.producers_of(self.parameters) if record else []

    def _is_ours(self, client: SyncPrefectClient, run: FlowRun) -> bool:
        if run.parent_task_run_id is None:
            return False
        return str(client.read_task_run(run.parent_task_run_id).flow_run_id) == str(flow_run.id)

    def _wait(
        self, client: SyncPrefectClient, deployment: DeploymentResponse, run: FlowRun, no_worker_s: float
    ) -> FlowRun:
        """Wait until the child ends. When this flow is cancelled, its own child is too; a crash leaves it running."""
        watch = WorkerWatch(deployment.work_pool_name, no_worker_s)
        try:
            while run.state is None or not run.state.is_final():
                if run.state is None or run.state.is_scheduled() or run.state.is_pending():
                    watch.look(client, run)
                time.sleep(POLL_S)
                run = client.read_flow_run(run.id)
        except TransientJobError:
            self._cancel(client, run)
            raise
        except (TerminationSignal, KeyboardInterrupt):
            ours = client.read_flow_run(UUID(str(flow_run.id))).state
            if ours is not None and (ours.is_cancelling() or ours.is_cancelled()):
                self._cancel(client, run)
            raise
        return run

    def _cancel(self, client: SyncPrefectClient, run: FlowRun) -> None:
        if self.own:
            client.set_flow_run_state(run.id, Cancelling(message="The run that asked for it is cancelled."))

    def _ending(self, child: FlowRun) -> str:
        state = child.state
        named = state.name if state else "without a state"
        reason = (state.message if state else None) or "no reason given"
        tail = tail_of(self.store, child.id)
        shown = f"; last lines of its log:\n{tail}" if tail and state and state.is_crashed() else ""
        return f"{self.deployment} ended {named}: {reason} (flow run {child.name}, {child.id}){shown}"


class WorkerWatch:
    """Whether a pool that a run waits for has a worker at all."""

    def __init__(self, pool: str | None, limit_s: float) -> None:
        self.pool, self.limit_s = pool, limit_s
        self._without_since: float | None = None

    def look(self, client: SyncPrefectClient, run: FlowRun) -> None:
        """Raise TransientJobError when no worker has been online for the limit; a busy worker is waited for."""
        if self.pool is None or self._has_worker(client, self.pool):
            self._without_since = None
            return
        now = time.monotonic()
        if self._without_since is None:
            self._without_since = now
            get_run_logger().warning("pool %s has no worker online; waiting %.0f s for one", self.pool, self.limit_s)
        if now - self._without_since >= self.limit_s:
            raise TransientJobError(
                f"pool {self.pool} had no worker online for {self.limit_s:.0f} s (flow run {run.name} is cancelled); "
                f"start one (prefect worker start --pool {self.pool}) and run this again: finished steps are kept"
            )

    @staticmethod
    def _has_worker(client: SyncPrefectClient, pool: str) -> bool:
        if client.read_work_pool(pool).type.endswith((":push", ":managed")):
            return True
        return any(worker.status is WorkerStatus.ONLINE for worker in client.read_workers_for_work_pool(pool))


def _attempt(run: FlowRun) -> int:
    last = (run.idempotency_key or "").rpartition(":")[2]
    return int(last) if last.isdigit() else 0
