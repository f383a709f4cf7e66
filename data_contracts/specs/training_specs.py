"""Specs of the training jobs: reward model, SFT policy, PPO policy and its alternatives (ALMoST sections 2.1 to 2.3).

The numbers and their sources are those of the profile sections (`training_sections`); a spec adds models and data,
which have no default, and how the job is run.
"""

from hashlib import sha256
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from data_contracts.config.dpo import PreferenceLoss, PreferenceOptimization
from data_contracts.config.optimizer_settings import OptimizerSettings, Schedule
from data_contracts.config.reward import EnsembleScore, LikelihoodFeature, RewardTraining
from data_contracts.config.training_sections import (
    KeepModel,
    PolicyOptimization,
    ScoreNormalization,
    ScoreSource,
    SupervisedFinetuning,
)
from data_contracts.config.world import WorldConfig
from data_contracts.specs.job_spec import JobSpec, TrainingSettings

__all__ = [
    "EnsembleSpec",
    "FinetuneSpec",
    "KeepModel",
    "LikelihoodFeature",
    "PPOSpec",
    "PreferenceLoss",
    "PreferenceSpec",
    "RewardSpec",
    "Schedule",
    "ScoreNormalization",
    "ScoreSource",
    "TrainingJobSpec",
]

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
    likelihood_base: Path | None = Field(
        default=None, title="Likelihood base", description="Frozen model of the likelihood feature; empty: the base"
    )
    answer_likelihoods: Path | None = Field(
        default=None,
        title="Its readings",
        description="File in which another member of the ensemble left what the base says of these pairs",
    )


class EnsembleSpec(JobSpec):
    """Make one reward model of several that were trained from different seeds (not in ALMoST)."""

    members: tuple[Path, ...] = Field(min_length=1, title="Members", description="Folders of reward models")
    pairs: tuple[Path, ...] = Field(min_length=1, title="Pairs", description="What they were trained and are tested on")
    score: EnsembleScore = Field(title="Score", description="How the members' scores become one")
    micro_batch_size: int = Field(ge=1, title="Micro-batch")
    training: TrainingSettings = Field(title="Run", description="Device, threads and time limit")


class FinetuneSpec(TrainingJobSpec, SupervisedFinetuning):
    """Supervised fine-tuning on demonstrations (section 2.2; "Alpaca's recipe")."""

    base_model: Path = Field(title="Base model", description="Folder of a causal language model")
    conversations: tuple[Path, ...] = Field(
        min_length=1, title="Rows", description="Parquet files of `training_conversations`"
    )


class PreferenceSpec(TrainingJobSpec, PreferenceOptimization):
    """DPO of the SFT policy on comparisons, plain or length-normalised (not in ALMoST)."""

    beta: float = Field(gt=0, title="Beta")
    learning_rate: float = Field(gt=0, title="Learning rate")
    batch_size: int = Field(ge=1, title="Batch")
    loss: PreferenceLoss = Field(title="Loss", description="sigmoid: sums over an answer's tokens; sigmoid_norm: means")
    base_model: Path = Field(
        title="SFT model", description="Folder; the policy starts here and the reference stays here"
    )
    pairs: tuple[Path, ...] = Field(min_length=1, title="Pairs", description="Parquet files of `preference_pairs`")


class PPOSpec(TrainingJobSpec, PolicyOptimization):
    """Reinforcement learning against the reward model (section 2.3)."""

    policy: Path = Field(title="SFT model", description="Folder; the policy starts here and the reference stays here")
    reward_model: Path = Field(title="Reward model", description="Folder of a sequence-classification model")
    prompts: tuple[Path, ...] = Field(min_length=1, title="Prompts", description="Parquet files of `policy_prompts`")
    world: WorldConfig | None = Field(default=None, title="Tiny world", description="For score_source gold_judge")
    world_seed: int = Field(default=0, title="Its seed", description="For score_source gold_judge")

    @model_validator(mode="after")
    def _gold_judge_has_a_world(self) -> Self:
        if self.score_source is ScoreSource.GOLD_JUDGE and self.world is None:
            raise ValueError("policy.score_source 'gold_judge' needs a tiny world; only there is the truth known")
        return self
