"""@step: one paper step as a Prefect task whose truth is the store (DESIGN section 3).

A step is a plain function of artifact handles, configuration sections and seeds that returns artifact handles. The
decorator computes the key of the inputs, hands it to Prefect as the cache key, sets `refresh_cache` when the store
cannot verify the outputs, persists only the handles, and records rows, seconds and whether anything was computed.
`step.fn` is the plain function; `step.find(...)` looks the verified outputs up and computes nothing.
"""

import inspect
import logging
import time
from collections.abc import Callable
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, get_type_hints

from prefect import task
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from pydantic import TypeAdapter

from data_contracts.errors import AlmostError
from data_contracts.store.artifact_store import Store
from data_contracts.store.keys import step_key
from data_contracts.store.lock import LockTiming, StoreLock
from data_contracts.store.manifest import Cost
from tasks.runtime.graph_edges import made_by, task_run_of
from tasks.runtime.locked_code import locked_digest
from tasks.runtime.run_record import StageRecord, producers_of, record_stage, remember_producer
from tasks.runtime.stage_range import check_reached, require_found
from tasks.runtime.step_context import StepContext, active_store, entered, use_store
from tasks.runtime.step_outputs import Outputs, artifacts_of, output_contracts

P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["NotInStoreError", "Outputs", "Step", "lookup_only", "step"]

RETRY_DELAYS_S = [5, 30]
TIME_LIMIT_S = 48 * 3600

LOCK_TIMING = LockTiming()
log = logging.getLogger("almost.steps")

_COMPUTED: set[tuple[str, str]] = set()  # store and key of what this process computed itself
_LOOKUP_ONLY: ContextVar[bool] = ContextVar("lookup_only", default=False)


class NotInStoreError(AlmostError):
    """Raised in lookup mode at the first step whose outputs the store cannot verify."""


@contextmanager
def lookup_only():
    """Inside, steps return verified outputs from the store or raise NotInStoreError; nothing is computed."""
    token = _LOOKUP_ONLY.set(True)
    try:
        yield
    finally:
        _LOOKUP_ONLY.reset(token)


class StepFuture(Generic[R]):
    """The outputs of a step that runs beside others."""

    def __init__(self, wait: Callable[[], R]) -> None:
        self._wait = wait

    def result(self) -> R:
        """Wait and return the outputs; raises what the step raised."""
        return self._wait()


class Step(Generic[P, R]):
    """A paper step; call it like the function it wraps."""

    def __init__(self, fn: Callable[P, R], version: str, jobs: tuple[str, ...], run_name: str | None) -> None:
        update_wrapper(self, fn)
        self.fn = fn
        self.name = fn.__name__
        self.version = version
        self.jobs = jobs
        self.run_name = run_name
        self._signature = inspect.signature(fn)
        self._returns = get_type_hints(fn)["return"]
        self._contracts = output_contracts(self._returns)
        self._task = task(
            name=self.name,
            description=inspect.cleandoc(fn.__doc__ or self.name),
            retries=len(RETRY_DELAYS_S),
            retry_delay_seconds=RETRY_DELAYS_S,  # type: ignore[arg-type]
            retry_condition_fn=_is_transient,
            persist_result=True,
            result_serializer="json",
        )(self._execute)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the step through Prefect (or return its verified outputs) and record it."""
        return self._start(False, *args, **kwargs).result()

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> StepFuture[R]:
        """Start the step on the flow's task runner, beside others."""
        return self._start(True, *args, **kwargs)

    def find(self, *args: P.args, **kwargs: P.kwargs) -> R | None:
        """The verified outputs for these inputs, None when the store does not hold them all."""
        return self._find(active_store(), self.key(*args, **kwargs))

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The key of these inputs."""
        return step_key(self.name, self.version, self._bind(*args, **kwargs))

    def _bind(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def _start(self, parallel: bool, *args: Any, **kwargs: Any) -> StepFuture[R]:
        arguments = self._bind(*args, **kwargs)
        key = step_key(self.name, self.version, arguments)
        store = active_store()
        started = time.monotonic()
        check_reached(self.name)
        found = self._find(store, key)
        if found is None:
            require_found(self.name)
        if _LOOKUP_ONLY.get():
            if found is None:
                raise NotInStoreError(f"{self.name}: the store has no verified outputs for key {key}")
            self._record(store, self.label(arguments), found, cached=False, wall_s=0.0)
            return StepFuture(lambda: found)
        label = self.label(arguments)
        prefect_task = self._task.with_options(
            task_run_name=label,
            # A worker thread cannot be interrupted: there, the job's own time limit holds.
            timeout_seconds=None if parallel else TIME_LIMIT_S,
            cache_key_fn=lambda _context, _parameters: key,
            refresh_cache=found is None,
        )
        edges = [made_by(run_id) for run_id in producers_of(arguments)]  # of the graph on the run page
        if parallel:
            pending: PrefectFuture | State = prefect_task.submit(arguments, wait_for=edges)
        else:
            pending = prefect_task(arguments, wait_for=edges, return_state=True)

        def finish() -> R:
            handles = pending.result()
            # What the store verified counts, even where Prefect remembers an older handle for this key.
            outputs = TypeAdapter(self._returns).validate_python(handles) if found is None else found
            cached = found is not None or (store.url, key) not in _COMPUTED  # made before, or meanwhile by another run
            remember_producer([artifact.path for artifact in artifacts_of(outputs)], task_run_of(pending))
            self._record(store, label, outputs, cached=cached, wall_s=time.monotonic() - started)
            return outputs

        return StepFuture(finish)

    def label(self, arguments: dict[str, Any]) -> str:
        """The run's name in the UI and in summaries, e.g. sample_responses-A."""
        return self.name if self.run_name is None else f"{self.name}-{self.run_name.format(**arguments)}"

    def _execute(self, arguments: dict[str, Any]) -> Any:
        """What the Prefect task runs; returns plain data, so that results outlive refactorings."""
        store = active_store()
        key = step_key(self.name, self.version, arguments)
        outputs = self._find(store, key)
        if outputs is None:
            lock = StoreLock(store.backend, f"{self.name}-{key}", LOCK_TIMING)
            outputs = lock.acquire(lambda: self._find(store, key), TIME_LIMIT_S, log.info)
            if outputs is None:
                outputs = self._compute_locked(store, key, arguments, lock)
        return TypeAdapter(self._returns).dump_python(outputs, mode="json")

    def _compute_locked(self, store: Store, key: str, arguments: dict[str, Any], lock: StoreLock) -> R:
        finished = False
        try:
            outputs = self._compute(store.fenced(lock), key, arguments, lock)
            finished = True
        finally:
            lock.release(finished)
        _COMPUTED.add((store.url, key))
        return outputs

    def _compute(self, store: Store, key: str, arguments: dict[str, Any], lock: StoreLock) -> R:
        code = locked_digest(self.name)
        context = StepContext(store, key, self.name, self.version, code, self.label(arguments), arguments, lock=lock)
        started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        started = time.monotonic()
        with use_store(store), entered(context):
            outputs = self.fn(**arguments)  # type: ignore[call-arg]
        wall_s = time.monotonic() - started
        cost = Cost(
            started_at=started_at,
            startup_s=min(context.startup_s, wall_s),
            working_s=max(wall_s - context.startup_s, 0.0),
            counters=context.counters,
        )
        for artifact in artifacts_of(outputs):
            store.write_cost(artifact, cost)
        context.keep_logs(artifacts_of(outputs)[0])
        context.clean_up()
        return outputs

    def _find(self, store: Store, key: str) -> R | None:
        found = {name: store.find(contract, key) for name, contract in self._contracts.items()}
        if any(artifact is None for artifact in found.values()):
            return None
        return found[""] if "" in found else self._returns(**found)  # type: ignore[return-value]

    def _record(self, store: Store, label: str, outputs: R, cached: bool, wall_s: float) -> None:
        artifacts = artifacts_of(outputs)
        cost = None if cached else store.cost(artifacts[0])
        record_stage(
            StageRecord(
                stage=label,
                step=self.name,
                rows=artifacts[0].rows,
                artifact=artifacts[0].path,
                artifacts={artifact.path: artifact.rows for artifact in artifacts},
                seconds=cost.startup_s + cost.working_s if cost else 0.0,
                startup_s=cost.startup_s if cost else 0.0,
                working_s=cost.working_s if cost else 0.0,
                wall_s=wall_s,
                started_at=cost.started_at if cost else None,
                cached=cached,
                counters=cost.counters if cost else {},
            )
        )


def step(
    *, version: str, jobs: tuple[str, ...] = (), run_name: str | None = None
) -> Callable[[Callable[P, R]], Step[P, R]]:
    """Make a step of a function.

    Args:
        version: raised by hand whenever the step's meaning changes; part of the key.
        jobs: modules of job processes the step starts; their source counts as the step's (see `step_lock`).
        run_name: format string over the arguments, appended to the step's name.
    """
    return lambda fn: Step(fn, version, jobs, run_name)


def _is_transient(_task: Any, _run: Any, state: State) -> bool:
    """Retry by class of error (DESIGN section 4): network and signals yes; configuration, contract, NaN, memory no."""
    try:
        state.result()  # type: ignore[unused-coroutine]
    except AlmostError as error:
        return error.transient
    except (ConnectionError, TimeoutError):
        return True
    except BaseException:  # noqa: BLE001 - whatever it was, it will happen again
        return False
    return False
