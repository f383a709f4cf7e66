"""Edges of the run page's graph: Prefect draws them between the ids of its nodes, and steps pass handles that know of none.

A node is a task run of the flow, or the flow run of a step that was dispatched (which hides the task run it hangs on).
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from prefect import Task, get_client
from prefect.client.schemas.objects import State, StateDetails, TaskRunResult
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.states import Completed


def made_by(node: UUID) -> State:
    """A finished upstream, as Prefect draws edges from it."""
    return Completed(data="in the store", state_details=StateDetails(task_run_id=node))


def task_run_of(pending: PrefectFuture | State) -> UUID:
    """The task run behind a started or finished task."""
    found = pending.state_details.task_run_id if isinstance(pending, State) else pending.task_run_id
    assert found is not None
    return found


def node_in_store(name: str, made_from: Sequence[UUID]) -> UUID | None:
    """A node for a step that was found done, so that the graph is whole; None outside a flow run."""
    if flow_run.id is None:
        return None
    with get_client(sync_client=True) as client:
        made = client.create_task_run(
            Task(fn=nothing, name=name),
            flow_run_id=UUID(flow_run.id),
            dynamic_key=uuid4().hex,
            name=name,
            task_inputs=inputs_from(made_from),
            state=Completed(name="Cached", message="The store holds the outputs of this step."),
        )
    return made.id


def inputs_from(nodes: Sequence[UUID]) -> dict[str, list[Any]]:
    """Task inputs that draw an edge from each node."""
    return {"inputs": [TaskRunResult(id=node) for node in nodes]}


def nothing() -> None:
    """Stands for a step in the caller's graph."""
