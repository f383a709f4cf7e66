"""Specs of the three training jobs: reward model, SFT policy, PPO policy (ALMoST sections 2.1 to 2.3).

The numbers and their sources are those of the profile sections (`training_sections`); a spec adds models and data,
which have no default, and how the job is run.
"""

from hashlib import sha256
from pathlib import Path

from pydantic import Field

from data_contracts.job_spec import JobSpec, TrainingSettings
from data_contracts.training_sections import (
    KeepModel,
    OptimizerSettings,
    PolicyOptimization,
    RewardTraining,
    Schedule,
    ScoreNormalization,
    SupervisedFinetuning,
)

__all__ = ["FinetuneSpec", "KeepModel", "PPOSpec", "RewardSpec", "Schedule", "ScoreNormalization", "TrainingJobSpec"]

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


class RewardSpec(TrainingJobSpec, RewardTraining):
    """Train a reward model on comparisons (section 2.1); also the as-is reward model."""

    base_model: Path = Field(title="Base model", description="Folder of a causal language model, or of a reward model")
    pairs: tuple[Path, ...] = Field(min_length=1, title="Pairs", description="Parquet files of `preference_pairs`")


class FinetuneSpec(TrainingJobSpec, SupervisedFinetuning):
    """Supervised fine-tuning on demonstrations (section 2.2; "Alpaca's recipe")."""

    base_model: Path = Field(title="Base model", description="Folder of a causal language model")
    conversations: tuple[Path, ...] = Field(
        min_length=1, title="Rows", description="Parquet files of `training_conversations`"
    )


class PPOSpec(TrainingJobSpec, PolicyOptimization):
    """Reinforcement learning against the reward model (section 2.3)."""

    policy: Path = Field(title="SFT model", description="Folder; the policy starts here and the reference stays here")
    reward_model: Path = Field(title="Reward model", description="Folder of a sequence-classification model")
    prompts: tuple[Path, ...] = Field(min_length=1, title="Prompts", description="Parquet files of `policy_prompts`")
