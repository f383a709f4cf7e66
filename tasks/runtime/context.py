"""The one context of a run: its store, what it records, who hears of progress, and the step that is being computed.

Whatever is not an argument of a step comes from here. Without a run, `current()` gives a context in which nothing is
stored, recorded or shown: a step's function then works on rows in memory, as in a test.
"""

import atexit
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from data_contracts.config.placement import Placement
from data_contracts.config.run_config import RunConfig
from data_contracts.errors import AlmostError
from data_contracts.store import scratch
from data_contracts.store.artifact_store import Store
from data_contracts.store.lock import StoreLock
from models.processes.job_lock import supersede
from tasks.runtime.phases import EVERY_PHASE, PhaseRange
from tasks.runtime.run_record import RunRecord, StepRecord


@dataclass(frozen=True)
class Progress:
    """How far one step is; `left_s` is the estimated time left, None before anything is done."""

    step: str
    done: float
    total: float
    unit: str
    left_s: float | None
    metrics: dict[str, float] = field(default_factory=dict)


class Observer(Protocol):
    """Somebody who hears of a run as it goes on: a terminal, the run's log, the run page."""

    def step_finished(self, step: StepRecord) -> None:
        """A step is done, computed or found."""

    def progressed(self, progress: Progress) -> None:
        """A step is a little further; told from any thread."""


@dataclass
class RunningStep:
    """A step that is being computed."""

    name: str
    label: str
    key: str
    lock: StoreLock | None = None
    startup_s: float = 0.0
    counters: dict[str, float] = field(default_factory=dict)
    job_folders: list[Path] = field(default_factory=list)
    resources: ExitStack = field(default_factory=ExitStack)  # closed when the step ends, however it ends

    def clean_up(self) -> None:
        """Remove the job folders of a finished step: its outputs are in the store."""
        for folder in self.job_folders:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class RunContext:
    """Everything a run's steps share."""

    store: Store | None = None
    record: RunRecord | None = None
    phases: PhaseRange = EVERY_PHASE
    lookup_only: bool = False  # steps are found in the store or refused, never computed
    observers: tuple[Observer, ...] = ()
    checked_config: RunConfig | None = None  # loaded, and its inputs checked, by who starts the run in this process
    placement: Placement | None = None
    dispatch: Callable[[Any, dict[str, Any]], Any] | None = None  # sends a heavy step to its pool; None: computed here
    step: RunningStep | None = None

    def open_store(self) -> Store:
        """The store in use.

        Raises:
            AlmostError: there is none.
        """
        if self.store is None:
            raise AlmostError("no store is open: call steps inside a flow of this project, or inside use_store(...)")
        return self.store


_CONTEXT: ContextVar[RunContext] = ContextVar("run_context", default=RunContext())  # noqa: B039 - frozen


def current() -> RunContext:
    """The context of the run, or one in which nothing is stored, recorded or shown."""
    return _CONTEXT.get()


@contextmanager
def within(**changes: Any) -> Iterator[RunContext]:
    """Inside, the context has these fields changed."""
    context = replace(current(), **changes)
    token = _CONTEXT.set(context)
    try:
        yield context
    finally:
        _CONTEXT.reset(token)


@contextmanager
def use_store(store: Store) -> Iterator[Store]:
    """Make `store` the one that steps read and write."""
    with within(store=store):
        yield store


@contextmanager
def computing(step: RunningStep) -> Iterator[None]:
    """Make `step` the running one, and close what it opened at the end."""
    with within(step=step), step.resources:
        yield


# -- what a step's body may say of itself ------------------------------------------------------------------------------


def count(**counters: float) -> None:
    """Add to the running step's counters; they end in the sidecar of its outputs and in summary.json."""
    step = current().step
    if step is not None:
        for name, value in counters.items():
            step.counters[name] = step.counters.get(name, 0.0) + float(value)


def count_rate(name: str, amount: str, seconds: str) -> None:
    """Set counter `name` to what counter `amount` of the running step comes to per second of counter `seconds`."""
    step = current().step
    if step is not None and step.counters.get(seconds):
        step.counters[name] = step.counters.get(amount, 0.0) / step.counters[seconds]


@contextmanager
def startup() -> Iterator[None]:
    """Count the time inside as start-up (process starts, imports, model loading), apart from work."""
    started = time.monotonic()
    try:
        yield
    finally:
        add_startup(time.monotonic() - started)


def add_startup(seconds: float) -> None:
    """Count `seconds` as start-up of the running step."""
    step = current().step
    if step is not None:
        step.startup_s += seconds


def at_end(call: Callable[[], Any]) -> None:
    """Call when the running step ends, however it ends; without a run, when the process does."""
    step = current().step
    if step is None:
        atexit.register(call)
    else:
        step.resources.callback(call)


def job_folder(name: str) -> Path:
    """The local folder of a job of the running step; a rerun finds its checkpoints there."""
    context = current()
    if context.step is None or context.store is None:
        return _passing_folder(name)
    step = context.step
    fence = step.lock.fence if step.lock else 0
    folder = scratch.job_folder(context.store.scratch, f"{step.key}-{name}", fence)
    if fence:
        supersede(folder / "work")
    step.job_folders.append(folder)
    return folder


def _passing_folder(name: str) -> Path:
    """A folder for a step's function that is called without a run; it is gone when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix=f"almost-{name}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def require_lock() -> None:
    """Raise LockLostError when another run took the running step over."""
    step = current().step
    if step is not None and step.lock is not None:
        step.lock.check()


class ProgressReporter:
    """Tells the run's observers how far the running step is."""

    def __init__(self, total: float, unit: str) -> None:
        context = current()
        self._observers = context.observers
        self._step = context.step.label if context.step else ""
        self._total, self._unit = total, unit
        self._started = time.monotonic()
        self._first: float | None = None

    def update(self, done: float, total: float | None = None, **metrics: float) -> None:
        """Say how much is done; what a resumed step found done already does not count for the estimate."""
        if total is not None:
            self._total = total
        if self._first is None:
            self._first, self._started = done, time.monotonic()
        fresh = done - self._first
        left_s = (self._total - done) * (time.monotonic() - self._started) / fresh if fresh > 0 else None
        progress = Progress(self._step, done, self._total, self._unit, left_s, metrics)
        for observer in self._observers:
            observer.progressed(progress)
