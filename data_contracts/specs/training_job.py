"""What the specs of all training jobs share: optimizer settings and how the job is run."""

from hashlib import sha256

from pydantic import Field

from data_contracts.config.optimizer_settings import OptimizerSettings
from data_contracts.config.training import TrainingSettings
from data_contracts.specs.job_spec import JobSpec

# Settings that change how long a job may run or what it keeps on disk, never what it learns: a rerun after raising
# the time limit must still resume.
_NOT_LEARNT_FROM = {"timeout_s", "save_every", "keep_checkpoints"}


class TrainingJobSpec(JobSpec, OptimizerSettings):
    """What every training job shares: optimizer settings and how it is run."""

    training: TrainingSettings = Field(default_factory=TrainingSettings, title="Run", description="Processes, ZeRO")

    def digest(self) -> str:
        """As `JobSpec.digest`, also blind to the time limit and to how checkpoints are kept."""
        hidden = {"output_dir": True, "work_dir": True, "training": _NOT_LEARNT_FROM}
        return sha256(self.model_dump_json(exclude=hidden).encode()).hexdigest()
