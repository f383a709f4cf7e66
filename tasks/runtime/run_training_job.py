"""The body that all training steps share: rows become files, a spec is written, a job runs, its outputs are the step's.

A training step says which job it starts and fills the fields of the job's spec. Everything else is here: the job's
folder and seed, its input files, its progress and start-up time, and what it leaves behind.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from data_contracts.config.training import TrainingSettings
from data_contracts.folder_contracts import FolderContract
from data_contracts.rows.row import Row
from data_contracts.rows.rows import FileRows, Rows, file_rows
from data_contracts.specs.job_spec import JobManifest, JobSpec
from data_contracts.store.stored import Folder, LocalFolder, StoredRows
from data_contracts.tables.training_log import TrainingLogEntry
from models.processes.launch import run_job
from models.seeding import derive_seed
from tasks.runtime.context import ProgressReporter, add_startup, count, current, job_folder, require_lock
from tasks.runtime.training_tracker import FOLDER, tracking

log = logging.getLogger("almost.jobs")

S = TypeVar("S", bound=JobSpec)
R = TypeVar("R", bound=Row)
F = TypeVar("F", bound=FolderContract)


@dataclass(frozen=True)
class FinishedJob(Generic[S]):
    """A job that has ended well: what it was told, what it measured, and its outputs by name."""

    spec: S
    manifest: JobManifest

    def path(self, name: str) -> Path:
        """Path of an output."""
        return self.spec.output_dir / self.manifest.outputs[name]

    def checkpoint(self, contract: type[F], name: str = "model") -> Folder[F]:
        """An output that is a model."""
        return LocalFolder(contract, self.path(name))

    def rows(self, row: type[R], name: str) -> Rows[R]:
        """An output that is a table: a Parquet file, or a folder of Parquet files in the order of their names."""
        path = self.path(name)
        return file_rows(row, sorted(path.glob("*.parquet")) if path.is_dir() else [path])

    @property
    def training_log(self) -> Rows[TrainingLogEntry]:
        """What the job measured while it ran."""
        return self.rows(TrainingLogEntry, "training_log")


def run_training_job(
    module: str,
    spec_class: type[S],
    *,
    name: Sequence[str | int],
    seed: int,
    training: TrainingSettings,
    **fields: Any,
) -> FinishedJob[S]:
    """Run the job in `module` for the running step: pass its progress on, count its start-up, keep its metrics.

    Args:
        module: the job, e.g. models.jobs.train_reward_model.
        spec_class: the job's spec.
        name: what tells this job from the step's and the run's others, e.g. ("train_reward_model", 1); its folder is
            called so, and its seed is derived from `seed` and the name.
        seed: the run's seed for training.
        training: how the job runs: processes, device, time limit.
        fields: the spec's other fields; for a field of Parquet files, rows may be given.
    """
    folder = job_folder("-".join(map(str, name)))
    work_dir = folder / "work"
    given = {
        field: row_files(value, work_dir, field) if isinstance(value, Rows) else value
        for field, value in fields.items()
    }
    spec = spec_class(
        output_dir=folder / "output",
        work_dir=work_dir,
        seed=derive_seed(seed, *name) % 2**31,
        training=training,  # type: ignore[call-arg]  (every spec of a training job has it)
        **given,
    )
    manifest = _run_and_follow(module, spec, training)
    count(**{f"job_{metric}": value for metric, value in manifest.metrics.items()})
    return FinishedJob(spec, manifest)


def row_files(rows: Rows[Any], folder: Path, name: str) -> tuple[Path, ...]:
    """Parquet files of rows, for a job: those they lie in already, or new ones in `folder`, part by part."""
    if isinstance(rows, StoredRows | FileRows):
        return tuple(rows.paths)
    paths = []
    for number, table in enumerate(rows.tables()):
        paths.append(folder / f"{name}-{number:05d}.parquet")
        rows.row.write_part(table, paths[-1])
    return tuple(paths)


def _run_and_follow(module: str, spec: JobSpec, training: TrainingSettings) -> JobManifest:
    """Start the job and wait; what it reports goes to the run's observers and to the tracker."""
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
        return run_job(
            module,
            spec,
            training,
            on_progress=on_progress,
            on_log=lambda line: log.info("%s", line),
            on_tick=require_lock,
        )


def tracker_folder() -> Path:
    """Where the running step's metrics go for a tracker: one folder per step and inputs, whatever run computes it."""
    context = current()
    if context.step is None:
        return job_folder("tracker")
    return context.open_store().scratch / FOLDER / f"{context.step.label}-{context.step.key[:8]}"
