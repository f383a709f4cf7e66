"""Run a training job for the running step: progress, start-up time, and the job's outputs as paths."""

import logging
import time
from pathlib import Path
from typing import Any

from data_contracts.config.training import TrainingSettings
from data_contracts.specs.job_spec import JobManifest, JobSpec
from data_contracts.store.stored import StoredRows
from data_contracts.tables.rows import Rows
from models.processes.launch import run_job
from tasks.runtime.context import ProgressReporter, add_startup, count, current, job_folder, require_lock
from tasks.runtime.training_tracker import FOLDER, tracking

log = logging.getLogger("almost.jobs")


def job_paths(name: str) -> dict[str, Path]:
    """`output_dir` and `work_dir` of a job of the running step, as spec fields."""
    folder = job_folder(name)
    return {"output_dir": folder / "output", "work_dir": folder / "work"}


def row_files(rows: Rows[Any], folder: Path) -> list[Path]:
    """Parquet files that hold the rows, for a job to read: parts of the store, or a file written into `folder`."""
    if isinstance(rows, StoredRows):
        return rows.paths
    path = folder / f"{rows.row.table}.parquet"
    rows.row.write_file(rows, path)
    return [path]


def tracker_folder() -> Path:
    """Where the running step's metrics go for a tracker: one folder per step and inputs, whatever run computes it."""
    context = current()
    if context.step is None:
        return job_folder("tracker")
    return context.open_store().scratch / FOLDER / f"{context.step.label}-{context.step.key[:8]}"


def run_training_job(module: str, spec: JobSpec, training: TrainingSettings) -> JobManifest:
    """Start the job, pass its progress on, count its start-up, and return its manifest."""
    started = time.monotonic()
    progress = ProgressReporter(1, "steps")
    first = True

    def on_progress(event: dict[str, Any]) -> None:
        nonlocal first
        if first:
            add_startup(time.monotonic() - started)
            first = False
        metrics = event.get("metrics", {})
        progress.update(event["done"], event["total"], **metrics)
        track(event["done"], metrics)

    with tracking(training.report_to, tracker_folder()) as track:
        manifest = run_job(
            module,
            spec,
            training,
            on_progress=on_progress,
            on_log=lambda line: log.info("%s", line),
            on_tick=require_lock,
        )
    count(**{f"job_{name}": value for name, value in manifest.metrics.items()})
    return manifest


def output(spec: JobSpec, manifest: JobManifest, name: str) -> Path:
    """Path of a named output of a finished job."""
    return spec.output_dir / manifest.outputs[name]
