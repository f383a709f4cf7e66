"""What a run did, step by step, gathered while it runs; it becomes summary.json."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from data_contracts.store.artifact import Artifact
from data_contracts.store.manifest import Cost
from data_contracts.store.stored import Stored


class StepRecord(BaseModel):
    """One step of a run. Seconds are wall-clock; a cached step worked for none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str = Field(description="The step's name, and which of several calls: sample_responses-A")
    step: str
    rows: int = Field(description="Rows of the step's main table; 0 for a checkpoint")
    artifact: str = Field(description="Folder of the step's main output in the store")
    artifacts: dict[str, int] = Field(description="Folders of all outputs -> rows")
    seconds: float = Field(description="startup_s + working_s; 0 when cached")
    startup_s: float
    working_s: float
    wall_s: float = Field(description="As the flow saw it, waiting included")
    started_at: str | None = Field(default=None, description="When the work began, UTC; None when cached")
    cached: bool
    counters: dict[str, float] = Field(default_factory=dict)

    @classmethod
    def of(cls, label: str, step: str, artifacts: list[Artifact], cost: Cost | None, wall_s: float) -> Self:
        """The record of a step that took `cost`; None: its outputs were found."""
        return cls(
            label=label,
            step=step,
            rows=artifacts[0].rows,
            artifact=artifacts[0].path,
            artifacts={artifact.path: artifact.rows for artifact in artifacts},
            seconds=cost.startup_s + cost.working_s if cost else 0.0,
            startup_s=cost.startup_s if cost else 0.0,
            working_s=cost.working_s if cost else 0.0,
            wall_s=wall_s,
            started_at=cost.started_at if cost else None,
            cached=cost is None,
            counters=cost.counters if cost else {},
        )

    def tables(self) -> str:
        """The step's tables and their rows, for people."""
        named = {path.split("@")[0].replace("_", " "): rows for path, rows in self.artifacts.items() if rows}
        return ", ".join(f"{rows:,} {name}" for name, rows in named.items())


@dataclass
class RunRecord:
    """Steps in the order they finished, metrics, and which task run of the flow made what."""

    steps: list[StepRecord] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)
    producers: dict[str, UUID] = field(default_factory=dict)  # artifact's folder -> task run that made it

    def add_step(self, step: StepRecord) -> None:
        """Add a finished step."""
        with self.lock:
            self.steps.append(step)

    def add_metrics(self, metrics: dict[str, float]) -> None:
        """Add measured metrics; what was not measured is absent, never zero."""
        with self.lock:
            self.metrics.update(metrics)

    def as_cached(self) -> list[StepRecord]:
        """The steps as a run sees them that found all of them done."""
        idle = {"cached": True, "startup_s": 0.0, "working_s": 0.0, "seconds": 0.0, "started_at": None, "counters": {}}
        return [step.model_copy(update=idle) for step in self.steps]

    def remember_producer(self, paths: Iterable[str], task_run: UUID) -> None:
        """Note which task run of this flow made (or found) artifacts, for the edges of the run's graph."""
        with self.lock:
            self.producers.update(dict.fromkeys(paths, task_run))

    def producers_of(self, value: Any) -> list[UUID]:
        """The task runs of this flow that made what `value` (arguments of a step, or their JSON) refers to, each once."""
        found = dict.fromkeys(self.producers[path] for path in _paths(value) if path in self.producers)
        return list(found)


def _paths(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Stored():
            yield value.artifact.path
        case BaseModel():
            yield from _paths(dict(value))
        case dict():
            for item in value.values():
                yield from _paths(item)
        case list() | tuple():
            for item in value:
                yield from _paths(item)
