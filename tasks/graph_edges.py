"""Edges of the run page's graph: Prefect draws them from task runs, and steps pass handles that know of none."""

from uuid import UUID

from prefect.client.schemas.objects import State, StateDetails
from prefect.futures import PrefectFuture
from prefect.states import Completed


def made_by(task_run: UUID) -> State:
    """A finished upstream, as Prefect draws edges from it."""
    return Completed(data="in the store", state_details=StateDetails(task_run_id=task_run))


def task_run_of(pending: PrefectFuture | State) -> UUID:
    """The task run behind a started or finished task."""
    found = pending.state_details.task_run_id if isinstance(pending, State) else pending.task_run_id
    assert found is not None
    return found
