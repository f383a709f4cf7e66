"""What a run did, stage by stage, gathered while it runs; it becomes summary.json."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class StageRecord(BaseModel):
    """One stage of a run. Seconds are wall-clock; a cached stage worked for none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    step: str
    rows: int = Field(description="Rows of the stage's main table; 0 for a checkpoint")
    artifact: str = Field(description="Folder of the stage's main output in the store")
    artifacts: dict[str, int] = Field(description="Folders of all outputs -> rows")
    seconds: float = Field(description="startup_s + working_s; 0 when cached")
    startup_s: float
    working_s: float
    wall_s: float = Field(description="As the flow saw it, waiting included")
    started_at: str | None = Field(default=None, description="When the work began, UTC; None when cached")
    cached: bool
    counters: dict[str, float] = Field(default_factory=dict)

    def tables(self) -> str:
        """The stage's tables and their rows, for people."""
        named = {path.split("@")[0]: rows for path, rows in self.artifacts.items() if rows}
        return ", ".join(f"{rows:,} {name}" for name, rows in named.items())


@dataclass
class RunRecord:
    """Stages in the order they finished; `listener` hears of each."""

    stages: list[StageRecord] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    listener: Callable[[StageRecord], None] | None = None
    lock: Lock = field(default_factory=Lock)
    producers: dict[str, UUID] = field(default_factory=dict)  # artifact's folder -> task run that made it

    def as_cached(self) -> list[StageRecord]:
        """The stages as a run sees them that found all of them done."""
        idle = {"cached": True, "startup_s": 0.0, "working_s": 0.0, "seconds": 0.0, "started_at": None, "counters": {}}
        return [stage.model_copy(update=idle) for stage in self.stages]


_RECORD: ContextVar[RunRecord | None] = ContextVar("run_record", default=None)


@contextmanager
def recording(record: RunRecord) -> Iterator[RunRecord]:
    """Gather the stages that run inside."""
    token = _RECORD.set(record)
    try:
        yield record
    finally:
        _RECORD.reset(token)


def record_stage(stage: StageRecord) -> None:
    """Add a stage to the run being recorded, if any."""
    record = _RECORD.get()
    if record is None:
        return
    with record.lock:
        record.stages.append(stage)
    if record.listener is not None:
        record.listener(stage)


def record_metrics(metrics: dict[str, float]) -> None:
    """Add measured metrics to the run; what was not measured is absent, never zero."""
    record = _RECORD.get()
    if record is not None:
        with record.lock:
            record.metrics.update(metrics)


def remember_producer(paths: Iterable[str], task_run: UUID) -> None:
    """Note which task run of this flow made (or found) artifacts, for the edges of the run's graph."""
    record = _RECORD.get()
    if record is not None:
        with record.lock:
            record.producers.update(dict.fromkeys(paths, task_run))


def producers_of(value: Any) -> list[UUID]:
    """The task runs of this flow that made what `value` (handles, or their JSON) refers to, each once."""
    record = _RECORD.get()
    if record is None:
        return []
    found = dict.fromkeys(record.producers[path] for path in _strings(value) if path in record.producers)
    return list(found)


def _strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case BaseModel():
            yield from _strings(dict(value))
        case dict():
            for item in value.values():
                yield from _strings(item)
        case list() | tuple():
            for item in value:
                yield from _strings(item)
