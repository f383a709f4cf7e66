"""Spec of the job that makes one reward model of several (not in ALMoST)."""

from pathlib import Path

from pydantic import Field

from data_contracts.config.reward import EnsembleScore
from data_contracts.config.training import TrainingSettings
from data_contracts.specs.job_spec import JobSpec


class EnsembleSpec(JobSpec):
    """Make one reward model of several that were trained from different seeds (not in ALMoST)."""

    members: tuple[Path, ...] = Field(min_length=1, title="Members", description="Folders of reward models")
    pairs: tuple[Path, ...] = Field(min_length=1, title="Pairs", description="What they were trained and are tested on")
    score: EnsembleScore = Field(title="Score", description="How the members' scores become one")
    micro_batch_size: int = Field(ge=1, title="Micro-batch")
    training: TrainingSettings = Field(title="Run", description="Device, threads and time limit")
