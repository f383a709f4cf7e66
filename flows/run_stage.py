"""Where a stage runs: inline in this process, or on a GPU pool through the stage's own deployment (DESIGN section 4).

A stage is a Prefect flow of its own, so that it can be deployed; its one parameter besides `home` is the call: the
arguments of its function as JSON (artifact handles and configuration sections, no tables). A pool dispatch looks the
verified outputs up first, re-attaches to a child that already runs, and reads the outputs back from the store: the
store is the only truth, so nothing but success travels through Prefect.
"""

import inspect
import time
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, get_type_hints
from uuid import UUID

from prefect import Flow, flow, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from pydantic import TypeAdapter

from data_contracts.errors import AlmostError, JobError
from data_contracts.keys import step_key
from data_contracts.placement import Placement, Target
from data_contracts.store import Store
from tasks.run_listener import logging_progress, stage_listener
from tasks.run_record import RunRecord, record_stage, recording
from tasks.step import NotInStoreError, Step, lookup_only
from tasks.step_context import active_store, use_store

P = ParamSpec("P")
R = TypeVar("R")
GPU_DEPLOYMENT = "gpu"
POLL_S = 2


class Stage(Generic[P, R]):
    """A heavy stage: a function of steps, and the flow that runs it anywhere."""

    def __init__(self, fn: Callable[P, R]) -> None:
        self.fn = fn
        self.name = fn.__name__.replace("_", "-")
        self.__doc__ = fn.__doc__
        self._signature = inspect.signature(fn)
        self._hints = get_type_hints(fn)

    def encode(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        """The call as JSON data."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return {n: TypeAdapter(self._hints[n]).dump_python(v, mode="json") for n, v in bound.arguments.items()}

    def decode(self, call: dict[str, Any]) -> dict[str, Any]:
        """The inverse of `encode`."""
        return {name: TypeAdapter(self._hints[name]).validate_python(value) for name, value in call.items()}

    def find(self, *args: P.args, **kwargs: P.kwargs) -> tuple[R, RunRecord] | None:
        """Outputs and record of the stage if the store verifies all of them; nothing is computed."""
        record = RunRecord()
        try:
            with lookup_only(), recording(record):
                return self.fn(*args, **kwargs), record
        except NotInStoreError:
            return None

    def as_flow(self) -> Flow[[str, dict[str, Any]], None]:
        """The Prefect flow that computes the stage in whatever process it is called."""

        @flow(name=self.name, description=inspect.cleandoc(self.__doc__ or self.name))
        def run(home: str, call: dict[str, Any]) -> None:
            record = RunRecord(listener=stage_listener())
            with use_store(Store(home)), recording(record), logging_progress():
                self.fn(**self.decode(call))  # type: ignore[call-arg]

        return run


def run_stage(stage: Stage[P, R], placement: Placement, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a stage where the profile places heavy work, and return its outputs.

    Raises:
        JobError: the dispatched run did not end Completed; the message names it.
    """
    match placement.heavy:
        case Target.INLINE:
            return stage.fn(*args, **kwargs)
        case Target.POOL:
            return _run_on_pool(stage, placement, *args, **kwargs)


def _run_on_pool(stage: Stage[P, R], placement: Placement, *args: P.args, **kwargs: P.kwargs) -> R:
    found = stage.find(*args, **kwargs)
    if found is not None:
        outputs, record = found
        entries = record.as_cached()
    else:
        _dispatch(stage, placement, stage.encode(*args, **kwargs))
        found = stage.find(*args, **kwargs)
        if found is None:
            raise AlmostError(
                f"stage {stage.name} ended Completed, but its outputs are not in {active_store().url}; "
                f"give workers the same ALMOST_HOME as the flow"
            )
        outputs, record = found
        entries = record.stages
    for entry in entries:
        record_stage(entry)
    return outputs


def _child_name(stage: Stage[Any, Any], call: dict[str, Any]) -> str:
    """Whose stage it is, and which of several: almost-tiny, almost-tiny-A."""
    detail = stage.fn.label(stage.decode(call)).removeprefix(stage.fn.name) if isinstance(stage.fn, Step) else ""
    return f"{flow_run.name}{detail}"


def _dispatch(stage: Stage[Any, Any], placement: Placement, call: dict[str, Any]) -> None:
    parent = f"{flow_run.id}:{flow_run.run_count}"
    asked: Any = run_deployment(
        name=f"{stage.name}/{GPU_DEPLOYMENT}",
        parameters={"home": active_store().url, "call": call},
        flow_run_name=_child_name(stage, call),
        timeout=0,
        as_subflow=True,
        idempotency_key=step_key(stage.name, parent, {"call": call}),
    )
    child = _wait_for(asked.id, stage.name, placement.dispatch_timeout_s)
    state = child.state
    if state is None or not state.is_completed():
        reason = (state.message if state is not None else None) or "no reason given"
        raise JobError(
            f"stage {stage.name} on the GPU pool ended {state.name if state else 'without a state'}: {reason} "
            f"(flow run {child.name}, {child.id})"
        )


def _wait_for(run_id: UUID, stage: str, warn_after_s: float) -> FlowRun:
    """Wait until a flow run ends; warn whenever no worker has taken it for `warn_after_s`."""
    told = time.monotonic()
    with get_client(sync_client=True) as client:
        while True:
            run = client.read_flow_run(run_id)
            if run.state is not None and run.state.is_final():
                return run
            waits = run.state is None or run.state.is_scheduled() or run.state.is_pending()
            if waits and time.monotonic() - told >= warn_after_s:
                told = time.monotonic()
                get_run_logger().warning(
                    "stage %s has waited %.0f s for a slot of the GPU pool; is a worker of that pool running? (flow run %s)",
                    stage, warn_after_s, run_id,
                )  # fmt: skip
            time.sleep(POLL_S)
