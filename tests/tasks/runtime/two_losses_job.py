"""A training job that reports two losses and trains nothing."""

from data_contracts.config.training import TrainingSettings
from data_contracts.specs.job_spec import JobSpec
from models.processes.job_entry import run
from models.processes.job_protocol import read_spec, report_progress, write_manifest

JOB = "tests.tasks.runtime.two_losses_job"


class TwoLossesSpec(JobSpec):
    """A training job's spec holds how it is run."""

    training: TrainingSettings


def main() -> None:
    """Report, and leave a file."""
    spec = read_spec(TwoLossesSpec)
    report_progress(1, 2, loss=0.5)
    report_progress(2, 2, loss=0.25)
    (spec.output_dir / "product.txt").write_text("made")
    write_manifest(spec, JOB, {"product": "product.txt"}, {"loss": 0.25})


if __name__ == "__main__":
    run(main)
