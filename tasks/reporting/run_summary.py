"""summary.json of a run: profile, seeds, steps with rows and seconds, metrics."""

import json
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from data_contracts.config.run_config import RunConfig
from data_contracts.store.artifact_store import Store
from data_contracts.store.backends import LocalBackend
from tasks.runtime.run_record import StepRecord

RUNS = "runs"
SUMMARY = "summary.json"
LATEST = "latest"


class RunSummary(BaseModel):
    """What a run did and measured; a metric that was not measured is absent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    status: str = Field(description="finished, stopped (--until) or failed")
    message: str = ""
    profile: str
    home: str
    flow_run_id: str | None
    started_at: str
    wall_s: float = Field(description="From the start of the flow's body to its end")
    process_startup_s: float | None = Field(description="From the start of the process to the flow's body")
    startup_s: float = Field(description="Sum over steps: job processes starting, models loading")
    working_s: float = Field(description="Sum over steps; steps beside each other count twice")
    orchestration_s: float = Field(description="Wall-clock time in which no step was running")
    seed: int = Field(description="The data seed")
    seeds: dict[str, int]
    steps: list[StepRecord]
    metrics: dict[str, float]
    config: dict[str, Any]


def idle_seconds(steps: list[StepRecord], wall_s: float) -> float:
    """Wall-clock time not covered by any computed step."""
    spans = sorted(
        (start, start + step.startup_s + step.working_s)
        for step in steps
        if step.started_at is not None
        for start in [datetime.fromisoformat(step.started_at).timestamp()]
    )
    covered, end = 0.0, float("-inf")
    for start, stop in spans:
        covered += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return max(0.0, wall_s - covered)


def write_summary(store: Store, summary: RunSummary, config: RunConfig) -> None:
    """Write summary.json; a finished run becomes `runs/latest`."""
    content = json.dumps(summary.model_dump(mode="json"), indent=1, ensure_ascii=False)
    store.backend.put_bytes(f"{RUNS}/{summary.run_id}/{SUMMARY}", content.encode())
    if summary.status == "finished":
        point_latest(store, summary.run_id)


def point_latest(store: Store, run_id: str) -> None:
    """`runs/latest`: a link to the run's folder on a local store, an object with its id on a remote one."""
    if not isinstance(store.backend, LocalBackend):
        store.backend.put_bytes(f"{RUNS}/{LATEST}", run_id.encode())
        return
    latest = store.backend.root / RUNS / LATEST
    temporary = latest.with_name(f".latest-{run_id}")
    temporary.symlink_to(run_id, target_is_directory=True)
    temporary.replace(latest)


def read_summary(store: Store, run_id: str | None) -> RunSummary | None:
    """The summary of a run, or of the newest finished one; None when there is none."""
    if run_id is None and not isinstance(store.backend, LocalBackend):
        latest = store.backend.read_bytes(f"{RUNS}/{LATEST}")
        run_id = latest.decode() if latest else LATEST
    content = store.backend.read_bytes(f"{RUNS}/{run_id or LATEST}/{SUMMARY}")
    return None if content is None else RunSummary.model_validate_json(content)
