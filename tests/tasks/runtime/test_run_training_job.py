"""The body of all training steps: rows become files for the job, and the job's outputs become a step's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config.sft import SupervisedFinetuning
from data_contracts.config.training import TrainingSettings
from data_contracts.conversation import Role, Turn
from data_contracts.folder_contracts import PolicyCheckpoint
from data_contracts.rows import rows as rows_module
from data_contracts.rows.rows import file_rows, rows_of, stream
from data_contracts.specs.finetune_policy import FinetuneSpec
from data_contracts.specs.job_spec import JobManifest
from data_contracts.tables.training_conversations import TrainingConversation
from data_contracts.tables.training_log import TrainingLogEntry, training_log_entries
from models.seeding import derive_seed
from tasks.runtime import run_training_job as module
from tasks.runtime.context import RunningStep
from tasks.runtime.run_training_job import FinishedJob, row_files, run_training_job

JOB = "models.jobs.finetune_policy"


def conversations(number: int) -> list[TrainingConversation]:
    return [
        TrainingConversation(row_id=f"r{n}", context=(Turn(Role.HUMAN, "Who?"),), response="Me.") for n in range(number)
    ]


def test_rows_are_written_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rows_module, "PART_ROWS", 4)
    whole = conversations(10)
    files = row_files(stream(TrainingConversation, lambda: whole), tmp_path, "conversations")
    assert [path.name for path in files] == [f"conversations-0000{n}.parquet" for n in range(3)]
    assert [len(list(TrainingConversation.read_files([path]))) for path in files] == [4, 4, 2]
    assert list(TrainingConversation.read_files(files)) == whole


def test_no_rows_are_one_file_without_rows(tmp_path: Path):
    [path] = row_files(rows_of(TrainingConversation, []), tmp_path, "none")
    assert list(TrainingConversation.read_files([path])) == []


def test_rows_that_lie_in_files_are_read_where_they_are(tmp_path: Path, stored: Callable[..., Any]):
    rows = stored(TrainingConversation, conversations(3))
    assert row_files(rows, tmp_path, "conversations") == tuple(rows.paths)
    assert row_files(file_rows(TrainingConversation, rows.paths), tmp_path, "conversations") == tuple(rows.paths)
    assert list(tmp_path.glob("*.parquet")) == []


def run(monkeypatch: pytest.MonkeyPatch, name: tuple[str | int, ...]) -> FinishedJob[FinetuneSpec]:
    def finish(job: str, spec: FinetuneSpec, training: TrainingSettings, **callbacks: Any) -> JobManifest:
        callbacks["on_progress"]({"done": 1, "total": 2, "metrics": {"loss": 0.5}})
        spec.output_dir.mkdir(parents=True, exist_ok=True)
        TrainingLogEntry.write_file(training_log_entries([(1, {"loss": 0.5})]), spec.output_dir / "log.parquet")
        for part in (1, 0):
            path = spec.output_dir / "parts" / f"part-{part}.parquet"
            TrainingConversation.write_file(conversations(2)[part : part + 1], path)
        outputs = {"model": "model", "training_log": "log.parquet", "parts": "parts"}
        return JobManifest(job=job, spec_digest=spec.digest(), outputs=outputs, metrics={"steps": 2.0})

    monkeypatch.setattr(module, "run_job", finish)
    return run_training_job(
        JOB,
        FinetuneSpec,
        name=name,
        seed=3,
        training=TrainingSettings(),
        conversations=rows_of(TrainingConversation, conversations(2)),
        base_model=Path("base"),
        **SupervisedFinetuning(epochs=2).model_dump(),
    )


def test_spec_and_outputs(monkeypatch: pytest.MonkeyPatch, in_step: RunningStep):
    job = run(monkeypatch, ("finetune", 1))
    spec = job.spec
    assert (spec.epochs, spec.base_model, spec.seed) == (2, Path("base"), derive_seed(3, "finetune", 1) % 2**31)
    assert (spec.output_dir.name, spec.work_dir.name) == ("output", "work")
    assert spec.work_dir.parent.name == f"{in_step.key}-finetune-1"
    assert list(TrainingConversation.read_files(spec.conversations)) == conversations(2)
    assert spec.conversations[0].parent == spec.work_dir
    model = job.checkpoint(PolicyCheckpoint)
    assert (model.contract, model.local()) == (PolicyCheckpoint, spec.output_dir / "model")
    assert [entry.metric for entry in job.training_log] == ["loss"]
    assert list(job.rows(TrainingConversation, "parts")) == conversations(2), "parts are read in the order of names"
    assert in_step.counters == {"job_steps": 2.0}
    assert in_step.startup_s > 0


def test_metrics_of_several_jobs_of_a_step_add_up(monkeypatch: pytest.MonkeyPatch, in_step: RunningStep):
    for number in range(2):
        run(monkeypatch, ("finetune", number))
    assert in_step.counters == {"job_steps": 4.0}


def test_a_rerun_gives_the_same_spec_so_that_the_job_resumes(monkeypatch: pytest.MonkeyPatch, in_step: RunningStep):
    assert run(monkeypatch, ("finetune",)).spec == run(monkeypatch, ("finetune",)).spec


def test_without_a_run_a_job_works_in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch):
    first, second = (run(monkeypatch, ("finetune",)).spec for _ in range(2))
    assert first.output_dir != second.output_dir
