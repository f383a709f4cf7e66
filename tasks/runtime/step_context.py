"""What a running step can ask for: its store, its key, where to write outputs, and how to report what it costs."""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from data_contracts.errors import AlmostError
from data_contracts.folder_contracts import FolderContract
from data_contracts.handles import ModelHandle, PromptHandle
from data_contracts.store import scratch
from data_contracts.store.artifact import Artifact
from data_contracts.store.artifact_store import Store
from data_contracts.store.keys import identity
from data_contracts.store.lock import StoreLock
from data_contracts.store.manifest import Parent, Part, Provenance
from data_contracts.tables.contract import Contract
from models.processes.job_lock import supersede
from models.processes.launch import LOG_NAME

TOOLS = ("torch", "transformers", "trl", "deepspeed", "pyarrow", "tokenizers", "rapidfuzz", "rouge_score")

_STORE: ContextVar[Store | None] = ContextVar("store", default=None)
_CONTEXT: ContextVar["StepContext | None"] = ContextVar("step_context", default=None)


@dataclass
class StepContext:
    """State of one step that is being computed."""

    store: Store
    key: str
    step: str
    step_version: str
    code: str
    label: str
    arguments: dict[str, Any]
    startup_s: float = 0.0
    counters: dict[str, float] = field(default_factory=dict)
    job_folders: list[Path] = field(default_factory=list)
    lock: StoreLock | None = None
    resources: ExitStack = field(default_factory=ExitStack)  # closed when the step ends, however it ends

    def provenance(self) -> Provenance:
        """How the outputs were made, as far as it follows from the inputs."""
        parents, config = [], {}
        for name, value in self.arguments.items():
            handles = _handles(value)
            if handles:
                parents += [_parent(name, handle) for handle in handles]
            else:
                config[name] = identity(value)
        return Provenance(
            step=self.step,
            step_version=self.step_version,
            code=self.code,
            parents=tuple(parents),
            config=config,
            versions={tool: version(tool) for tool in TOOLS},
        )

    def keep_logs(self, artifact: Artifact) -> None:
        """Copy what the jobs printed beside the step's main output."""
        for folder in self.job_folders:
            log = folder / "work" / LOG_NAME
            if log.is_file():
                name = folder.name.partition("~")[0].removeprefix(f"{self.key}-")
                self.store.backend.put_file(log, f"{artifact.path}/{name}.log")

    def clean_up(self) -> None:
        """Remove the job folders of a finished step: its outputs are in the store."""
        for folder in self.job_folders:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def use_store(store: Store) -> Iterator[Store]:
    """Make `store` the one that steps read and write."""
    token = _STORE.set(store)
    try:
        yield store
    finally:
        _STORE.reset(token)


def active_store() -> Store:
    """The store in use."""
    store = _STORE.get()
    if store is None:
        raise AlmostError("no store is open: call steps inside a flow of this project, or inside use_store(...)")
    return store


@contextmanager
def entered(context: StepContext) -> Iterator[None]:
    """Make `context` the running step's, and close what it opened at the end."""
    token = _CONTEXT.set(context)
    try:
        with context.resources:
            yield
    finally:
        _CONTEXT.reset(token)


def current() -> StepContext:
    """The running step's context."""
    context = _CONTEXT.get()
    if context is None:
        raise AlmostError("this function works inside a step only")
    return context


def read(contract: type[Contract], artifact: Artifact) -> pa.Table:
    """The table behind a handle."""
    return active_store().read(contract, artifact)


def parts_of(artifact: Artifact) -> list[Path]:
    """Local paths of a table's parts, for jobs."""
    return active_store().materialise(artifact)


def write(contract: type[Contract], table: pa.Table) -> Artifact:
    """Commit a table as an output of the running step."""
    context = current()
    return context.store.commit_table(contract, context.key, table, context.provenance())


def write_folder(contract: type[FolderContract], folder: Path) -> Artifact:
    """Commit a folder as an output of the running step."""
    context = current()
    return context.store.commit_folder(contract, context.key, folder, context.provenance())


def write_parts(contract: type[Contract], parts: list[Part]) -> Artifact:
    """Commit stored shards as an output of the running step."""
    context = current()
    return context.store.commit_parts(contract, context.key, parts, context.provenance())


def job_folder(name: str) -> Path:
    """The local folder of a job of the running step; a rerun finds its checkpoints there."""
    context = current()
    fence = context.lock.fence if context.lock else 0
    folder = scratch.job_folder(context.store.scratch, f"{context.key}-{name}", fence)
    if fence:
        supersede(folder / "work")
    context.job_folders.append(folder)
    return folder


def require_lock() -> None:
    """Raise LockLostError when another run took the running step over."""
    lock = current().lock
    if lock is not None:
        lock.check()


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
    context = _CONTEXT.get()
    if context is not None:
        context.startup_s += seconds


def count(**counters: float) -> None:
    """Add to the running step's counters; they end in the sidecar and in summary.json."""
    context = _CONTEXT.get()
    if context is not None:
        for name, value in counters.items():
            context.counters[name] = context.counters.get(name, 0.0) + float(value)


def count_rate(name: str, amount: str, seconds: str) -> None:
    """Set counter `name` to what counter `amount` of the running step comes to per second of counter `seconds`."""
    context = _CONTEXT.get()
    if context is not None and context.counters.get(seconds):
        context.counters[name] = context.counters.get(amount, 0.0) / context.counters[seconds]


def _handles(value: Any) -> list[Any]:
    if isinstance(value, Artifact | ModelHandle | PromptHandle):
        return [value]
    if isinstance(value, list | tuple):
        return [handle for item in value for handle in _handles(item)]
    if isinstance(value, dict):
        return [handle for item in value.values() for handle in _handles(item)]
    if isinstance(value, BaseModel):
        return [handle for name in type(value).model_fields for handle in _handles(getattr(value, name))]
    return []


def _parent(argument: str, handle: Artifact | ModelHandle | PromptHandle) -> Parent:
    path = handle.path if isinstance(handle, Artifact) else getattr(handle, "artifact", None)
    return Parent(argument=argument, identity=str(handle.key_identity()), path=path)
