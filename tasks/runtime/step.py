"""@step: one paper step as a Prefect task whose truth is the store.

A step is a function of keyword arguments: rows, folders and handles by content, configuration sections, seeds. It returns
rows or folders. The decorator computes the key of the inputs, hands it to Prefect as the cache key, takes the step's lock,
writes the outputs, and records rows, seconds and whether anything was computed. `step.fn` is the plain function; it runs
without a store. `step.find(...)` looks the verified outputs up and computes nothing.

What is declared here is said nowhere else: the phase that `--until` and `--from` count it to, whether it is heavy (and has
a deployment of its own), the jobs whose code counts as the step's.
"""

import inspect
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, get_type_hints

from prefect import task
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from pydantic import TypeAdapter

from data_contracts.config.placement import Target
from data_contracts.errors import AlmostError
from data_contracts.store.artifact_store import Store
from data_contracts.store.keys import step_key
from data_contracts.store.lock import LockTiming, StoreLock
from tasks.runtime.context import RunContext, RunningStep, computing, current, within
from tasks.runtime.graph_edges import made_by, task_run_of
from tasks.runtime.outputs import Outputs, artifacts_of, commit, output_contracts, stored_outputs
from tasks.runtime.phases import Phase
from tasks.runtime.retries import RETRY_DELAYS_S, TIME_LIMIT_S, is_transient
from tasks.runtime.run_record import StepRecord
from tasks.runtime.sidecars import provenance_of, write_sidecars
from tasks.runtime.step_future import StepFuture

P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["NotInStoreError", "Outputs", "Step", "registered_steps", "step"]

LOCK_TIMING = LockTiming()
log = logging.getLogger("almost.steps")

_COMPUTED: set[tuple[str, str]] = set()  # store and key of what this process computed itself
_REGISTERED: dict[str, "Step[Any, Any]"] = {}


class NotInStoreError(AlmostError):
    """Raised in lookup mode at the first step whose outputs the store cannot verify."""


@dataclass(frozen=True)
class Declaration:
    """What `@step(...)` says of a step.

    Args:
        version: raised by hand whenever the step's meaning changes; part of the key.
        phase: the part of a run that it belongs to; None for steps outside the paper's chain.
        heavy: whether it loads a model or trains one: it has a deployment of its own, for a GPU pool.
        jobs: modules of job processes that it starts; their code counts as the step's.
        run_name: format string over the arguments, appended to the step's name: which of several calls this is.
    """

    version: str
    phase: Phase | None = None
    heavy: bool = False
    jobs: tuple[str, ...] = ()
    run_name: str | None = None


class Step(Generic[P, R]):
    """A paper step; call it like the function it wraps, by keyword."""

    def __init__(self, fn: Callable[P, R], declared: Declaration) -> None:
        update_wrapper(self, fn)
        self.fn, self.declared, self.name = fn, declared, fn.__name__
        self._signature = inspect.signature(fn)
        _require_keywords(fn.__name__, self._signature)
        hints = get_type_hints(fn)
        self._returns = hints.pop("return")
        self._contracts = output_contracts(self._returns)
        self._adapters = {name: TypeAdapter(hint) for name, hint in hints.items()}
        self._task = task(
            name=self.name,
            description=inspect.cleandoc(fn.__doc__ or self.name),
            retries=len(RETRY_DELAYS_S),
            retry_delay_seconds=RETRY_DELAYS_S,  # type: ignore[arg-type]
            retry_condition_fn=is_transient,
            persist_result=True,
            result_serializer="json",
        )(self.compute)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The step's outputs: found in the store, computed here, or computed by the step's deployment on a pool."""
        context = current()
        if self._runs_elsewhere(context):
            return context.dispatch(self, self.bind(*args, **kwargs))  # type: ignore[misc]
        return self._start(False, *args, **kwargs).result()

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> StepFuture[R]:
        """Start the step beside others: on the flow's task runner, or on its pool."""
        context = current()
        if self._runs_elsewhere(context):
            pool, inherited = ThreadPoolExecutor(1), copy_context()
            waiting = pool.submit(inherited.run, context.dispatch, self, self.bind(*args, **kwargs))  # type: ignore[arg-type]
            pool.shutdown(wait=False)
            return StepFuture(waiting.result)
        return self._start(True, *args, **kwargs)

    def _runs_elsewhere(self, context: RunContext) -> bool:
        on_pool = context.placement is not None and context.placement.heavy is Target.POOL
        return self.declared.heavy and on_pool and context.dispatch is not None

    def find(self, *args: P.args, **kwargs: P.kwargs) -> R | None:
        """The verified outputs for these inputs, None when the store does not hold them all."""
        return self._find(current().open_store(), self.key(*args, **kwargs))

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The key of these inputs."""
        return step_key(self.name, self.declared.version, self.bind(*args, **kwargs))

    def bind(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The arguments by name, defaults included; everything is checked against the step's signature.

        Raises:
            ContractError: an artifact has another contract than the argument asks for.
        """
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def encode(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Bound arguments as JSON data: handles of artifacts, configuration, no tables."""
        return {name: self._adapters[name].dump_python(value, mode="json") for name, value in arguments.items()}

    def decode(self, call: dict[str, Any]) -> dict[str, Any]:
        """The inverse of `encode`, on the store in use."""
        context = {"stored": current().open_store().stored}
        return {name: self._adapters[name].validate_python(value, context=context) for name, value in call.items()}

    def label(self, arguments: dict[str, Any]) -> str:
        """The call's name in the UI and in summaries, e.g. sample_responses-A."""
        detail = self.declared.run_name
        return self.name if detail is None else f"{self.name}-{detail.format(**arguments)}"

    def _start(self, parallel: bool, *args: Any, **kwargs: Any) -> StepFuture[R]:
        context, arguments = current(), self.bind(*args, **kwargs)
        store, started, label = context.open_store(), time.monotonic(), self.label(arguments)
        key = step_key(self.name, self.declared.version, arguments)
        context.phases.check_reached(self.declared.phase)
        found = self._find(store, key)
        if found is None:
            context.phases.check_computed(self.name, self.declared.phase)
        if context.lookup_only:
            if found is None:
                raise NotInStoreError(f"{self.name}: the store has no verified outputs for key {key}")
            self._record(store, label, found, cached=False, wall_s=0.0)
            return StepFuture(lambda: found)
        record = context.record
        prefect_task = self._task.with_options(
            task_run_name=label,
            # A worker thread cannot be interrupted: there, the job's own time limit holds.
            timeout_seconds=None if parallel else TIME_LIMIT_S,
            cache_key_fn=lambda _context, _parameters: key,
            refresh_cache=found is None,
        )
        edges = [made_by(run_id) for run_id in (record.producers_of(arguments) if record else [])]  # of the run's graph
        if parallel:
            pending: PrefectFuture | State = prefect_task.submit(arguments, wait_for=edges)
        else:
            pending = prefect_task(arguments, wait_for=edges, return_state=True)

        def finish() -> R:
            handles = pending.result()
            # What the store verified counts, even where Prefect remembers an older handle for this key.
            outputs = stored_outputs(self._returns, handles, store) if found is None else found
            cached = found is not None or (store.url, key) not in _COMPUTED  # made before, or meanwhile by another run
            if record is not None:
                record.remember_producer([one.path for one in artifacts_of(outputs)], task_run_of(pending))
            self._record(store, label, outputs, cached=cached, wall_s=time.monotonic() - started)
            return outputs

        return StepFuture(finish)

    def compute(self, arguments: dict[str, Any]) -> Any:
        """What the Prefect task runs; returns the outputs' handles as plain data, so that results outlive refactorings."""
        store = current().open_store()
        key = step_key(self.name, self.declared.version, arguments)
        outputs = self._find(store, key)
        if outputs is None:
            lock = StoreLock(store.backend, f"{self.name}-{key}", LOCK_TIMING)
            outputs = lock.acquire(lambda: self._find(store, key), TIME_LIMIT_S, log.info)
            if outputs is None:
                outputs = self._compute_locked(store, key, arguments, lock)
        return TypeAdapter(self._returns).dump_python(outputs, mode="json")

    def _compute_locked(self, store: Store, key: str, arguments: dict[str, Any], lock: StoreLock) -> R:
        running, finished = RunningStep(self.name, self.label(arguments), key, lock), False
        started_at, started = datetime.now(UTC).isoformat(timespec="milliseconds"), time.monotonic()
        fenced, provenance = store.fenced(lock), provenance_of(self.name, self.declared.version, arguments)
        try:
            with within(store=fenced), computing(running):
                outputs = commit(self.fn(**arguments), key, provenance, fenced)  # type: ignore[call-arg]
            write_sidecars(fenced, running, artifacts_of(outputs), started_at, time.monotonic() - started)
            finished = True
        finally:
            lock.release(finished)
        _COMPUTED.add((store.url, key))
        return outputs

    def _find(self, store: Store, key: str) -> R | None:
        found = {name: store.find(contract, key) for name, contract in self._contracts.items()}
        if any(artifact is None for artifact in found.values()):
            return None
        return stored_outputs(self._returns, found.get("", found), store)

    def _record(self, store: Store, label: str, outputs: R, cached: bool, wall_s: float) -> None:
        context, artifacts = current(), artifacts_of(outputs)
        if context.record is None:
            return
        step = StepRecord.of(label, self.name, artifacts, None if cached else store.cost(artifacts[0]), wall_s)
        context.record.add_step(step)
        for observer in context.observers:
            observer.step_finished(step)


def step(
    *,
    version: str,
    phase: Phase | None = None,
    heavy: bool = False,
    jobs: tuple[str, ...] = (),
    run_name: str | None = None,
) -> Callable[[Callable[P, R]], Step[P, R]]:
    """Make a step of a function with keyword arguments; the arguments are those of `Declaration`."""
    declared = Declaration(version, phase, heavy, jobs, run_name)

    def make(fn: Callable[P, R]) -> Step[P, R]:
        made = Step(fn, declared)
        if fn.__module__.split(".")[0] == "tasks":
            _REGISTERED[made.name] = made
        return made

    return make


def registered_steps() -> dict[str, Step[Any, Any]]:
    """The project's steps whose modules are imported, by name; `tasks.runtime.registry` imports them all."""
    return dict(_REGISTERED)


def _require_keywords(name: str, signature: inspect.Signature) -> None:
    for parameter in signature.parameters.values():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise TypeError(f"step {name}: argument '{parameter.name}' is positional; begin the signature with *")
