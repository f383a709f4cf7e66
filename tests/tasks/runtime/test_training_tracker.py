"""`training.report_to`: a job's metrics as TensorBoard events that TensorBoard itself reads back."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from data_contracts.config.training import ReportTo, TrainingSettings
from data_contracts.errors import ConfigError
from data_contracts.store.artifact_store import Store
from tasks.runtime import training_tracker
from tasks.runtime.context import RunningStep, computing
from tasks.runtime.run_training_job import run_training_job
from tests.tasks.runtime.two_losses_job import JOB, TwoLossesSpec


def run_a_job(store: Store, report_to: ReportTo) -> Path:
    """Run a job that reports two losses, and return where trackers write."""
    settings = TrainingSettings(report_to=report_to)
    with computing(RunningStep("train", "train-A", "k" * 32)):
        job = run_training_job(JOB, TwoLossesSpec, name=("job",), seed=1, training=settings)
    assert job.path("product").read_text() == "made"
    return store.scratch / training_tracker.FOLDER


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_jobs_metrics_become_events(store: Store):
    folder = run_a_job(store, ReportTo.TENSORBOARD) / "train-A-kkkkkkkk"
    events = EventAccumulator(str(folder)).Reload()
    assert events.Tags()["tensors"] == ["loss"]
    assert [(e.step, e.tensor_proto.float_val[0]) for e in events.Tensors("loss")] == [(1, 0.5), (2, 0.25)]


def test_nothing_is_written_unasked(store: Store):
    assert not run_a_job(store, ReportTo.NONE).exists()


def test_a_missing_package_is_told_with_the_command_that_installs_it(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(training_tracker, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"training\.report_to is 'tensorboard'.*pip install 'tensorboard>=2.21'"):
        run_a_job(store, ReportTo.TENSORBOARD)
