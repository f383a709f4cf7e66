"""Heavy steps on a GPU pool: each runs through its own deployment, with the same code and the same results as here.

A step's deployment is a flow with two parameters: the home, and the call (the step's arguments as JSON: handles and
configuration, no tables). The store is asked before anything is dispatched, and read in the end: it is the only truth, so
nothing but success travels through Prefect. What lies between is in `dispatch.py`.
"""

import inspect
from typing import Any

from prefect import Flow, flow
from prefect.runtime import flow_run

from data_contracts.errors import AlmostError
from data_contracts.store.artifact_store import Store
from data_contracts.store.keys import step_key
from flows.running.dispatch import Dispatch
from flows.running.prompt_ending import ending_promptly
from tasks.runtime.context import current, within
from tasks.runtime.flow_log import print_to_log_file
from tasks.runtime.gpu_slot import gpu_slot
from tasks.runtime.graph_edges import node_in_store
from tasks.runtime.run_log import run_observers
from tasks.runtime.run_record import RunRecord
from tasks.runtime.step import NotInStoreError, Step

GPU_DEPLOYMENT = "gpu"


def deployment_of(step: Step[Any, Any]) -> str:
    """The name of a heavy step's deployment, e.g. sample-responses/gpu."""
    return f"{flow_name(step)}/{GPU_DEPLOYMENT}"


def flow_name(step: Step[Any, Any]) -> str:
    """The name of a heavy step's flow."""
    return step.name.replace("_", "-")


def as_flow(step: Step[Any, Any]) -> Flow[[str, dict[str, Any]], None]:
    """The Prefect flow that computes a step in whatever process it is called."""

    @flow(name=flow_name(step), description=inspect.cleandoc(step.__doc__ or step.name))
    def run(home: str, call: dict[str, Any]) -> None:
        store = Store(home)
        print_to_log_file(store)
        with (
            run_observers() as observers,
            ending_promptly(),
            gpu_slot(),
            within(store=store, record=RunRecord(), observers=observers),
        ):
            step(**step.decode(call))

    return run


def run_on_pool(step: Step[Any, Any], arguments: dict[str, Any]) -> Any:
    """The outputs of a heavy step, computed by its deployment unless the store holds them.

    Raises:
        JobError: the dispatched run did not end Completed; the message names it.
    """
    context = current()
    store, placement = context.open_store(), context.placement
    assert placement is not None
    call, found, node = step.encode(arguments), _find(step, arguments), None
    name = f"{flow_run.name}{step.label(arguments).removeprefix(step.name)}"  # almost-tiny, almost-tiny-A
    if found is not None:
        outputs, record = found
        made = record.as_cached()
        node = node_in_store(f"{flow_name(step)} / {name}", context.record.producers_of(call) if context.record else [])
    else:
        parameters = {"home": store.url, "call": call}
        dispatch = Dispatch(deployment_of(step), name, step_key(flow_name(step), "", parameters), parameters, store)
        dispatch.run(placement.dispatch_timeout_s)
        found = _find(step, arguments)
        if found is None:
            raise AlmostError(
                f"step {step.name} ended Completed, but its outputs are not in {store.url}; "
                f"give workers the same ALMOST_HOME as the flow"
            )
        outputs, record = found
        made = record.steps if dispatch.own else record.as_cached()
        node = dispatch.child.id if dispatch.child else None
    for entry in made:
        if context.record is not None:
            context.record.add_step(entry)
            if node is not None:
                context.record.remember_producer(entry.artifacts, node)
        for observer in context.observers:
            observer.step_finished(entry)
    return outputs


def _find(step: Step[Any, Any], arguments: dict[str, Any]) -> tuple[Any, RunRecord] | None:
    """Outputs and record of a step if the store verifies them; nothing is computed."""
    record = RunRecord()
    try:
        with within(lookup_only=True, record=record, observers=(), dispatch=None):
            return step(**arguments), record
    except NotInStoreError:
        return None
