"""Spec of the job that optimises the policy against the reward model (ALMoST section 2.3)."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from data_contracts.config.policy import PolicyOptimization, ScoreSource
from data_contracts.config.world import WorldConfig
from data_contracts.specs.training_job import TrainingJobSpec


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
