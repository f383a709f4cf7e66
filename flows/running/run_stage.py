"""Where a stage runs: inline in this process, or on a GPU pool through the stage's own deployment (DESIGN section 4).

A stage is a Prefect flow of its own, so that it can be deployed; its one parameter besides `home` is the call: the
arguments of its function as JSON (artifact handles and configuration sections, no tables). A pool dispatch looks the
verified outputs up first, and reads them back from the store in the end: the store is the only truth, so nothing but
success travels through Prefect. What lies between is in `dispatch.py`.
"""

import inspect
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, get_type_hints

from prefect import Flow, flow
from prefect.runtime import flow_run
from pydantic import TypeAdapter

from data_contracts.config.placement import Placement, Target
from data_contracts.errors import AlmostError
from data_contracts.store.artifact_store import Store
from data_contracts.store.keys import step_key
from flows.running.dispatch import Dispatch
from flows.running.prompt_ending import ending_promptly
from tasks.runtime.context import use_store
from tasks.runtime.flow_log import print_to_log_file
from tasks.runtime.gpu_slot import gpu_slot
from tasks.runtime.graph_edges import node_in_store
from tasks.runtime.run_listener import logging_progress, stage_listener
from tasks.runtime.run_record import RunRecord, producers_of, record_stage, recording, remember_producer
from tasks.runtime.step import NotInStoreError, Step, lookup_only

P = ParamSpec("P")
R = TypeVar("R")
GPU_DEPLOYMENT = "gpu"


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
            record, store = RunRecord(listener=stage_listener()), Store(home)
            print_to_log_file(store)
            with use_store(store), recording(record), logging_progress(), ending_promptly(), gpu_slot():
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
        call = stage.encode(*args, **kwargs)
        node = node_in_store(f"{stage.name} / {_child_name(stage, call)}", producers_of(call))
    else:
        dispatch = _dispatch(stage, placement, stage.encode(*args, **kwargs))
        found = stage.find(*args, **kwargs)
        if found is None:
            raise AlmostError(
                f"stage {stage.name} ended Completed, but its outputs are not in {active_store().url}; "
                f"give workers the same ALMOST_HOME as the flow"
            )
        outputs, record = found
        entries = record.stages if dispatch.own else record.as_cached()
        node = dispatch.child.id if dispatch.child else None
    if node is not None:
        remember_producer([path for entry in entries for path in entry.artifacts], node)
    for entry in entries:
        record_stage(entry)
    return outputs


def _child_name(stage: Stage[Any, Any], call: dict[str, Any]) -> str:
    """Whose stage it is, and which of several: almost-tiny, almost-tiny-A."""
    detail = stage.fn.label(stage.decode(call)).removeprefix(stage.fn.name) if isinstance(stage.fn, Step) else ""
    return f"{flow_run.name}{detail}"


def _dispatch(stage: Stage[Any, Any], placement: Placement, call: dict[str, Any]) -> Dispatch:
    store = active_store()
    parameters = {"home": store.url, "call": call}
    dispatch = Dispatch(
        deployment=f"{stage.name}/{GPU_DEPLOYMENT}",
        name=_child_name(stage, call),
        key=step_key(stage.name, "", parameters),
        parameters=parameters,
        store=store,
    )
    dispatch.run(placement.dispatch_timeout_s)
    return dispatch
