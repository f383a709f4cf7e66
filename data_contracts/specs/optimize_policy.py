"""Specs of the job that optimises the policy against rewards (ALMoST section 2.3): one per algorithm."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from data_contracts.config.algorithm import Algorithm
from data_contracts.config.policy.ppo import PPOSettings
from data_contracts.config.policy.rewards import GRPOSettings, LearningFromRewards, RLOOSettings
from data_contracts.config.section import Section
from data_contracts.config.world import GoldJudgeSource
from data_contracts.specs.training_job import TrainingJobSpec


class RewardModelSource(Section):
    """A reward model as the scorer of the policy's samples."""

    kind: Literal["reward_model"] = "reward_model"
    folder: Path = Field(title="Reward model folder", description="Folder of a sequence-classification model")

    @property
    def models(self) -> dict[str, Path]:
        """Folders of the models that score, by role."""
        return {"reward_model": self.folder}


ScorerSource = Annotated[RewardModelSource | GoldJudgeSource, Field(discriminator="kind")]


class OptimizePolicySpec(TrainingJobSpec, LearningFromRewards):
    """What the algorithms' specs share: the SFT model, the scorer and the prompts."""

    policy: Path = Field(
        title="SFT model folder", description="The policy starts from it, and the reference stays what it is"
    )
    scorer: ScorerSource = Field(title="Scorer", description="Who gives finished responses their rewards")
    prompts: tuple[Path, ...] = Field(
        min_length=1, title="Prompt files", description="Parquet files of `policy_prompts`"
    )

    @model_validator(mode="after")
    def _layers_can_learn(self) -> Self:
        self.check_layers(self.training)
        return self


class PPOSpec(PPOSettings, OptimizePolicySpec):
    """PPO of the SFT policy."""


class RLOOSpec(RLOOSettings, OptimizePolicySpec):
    """RLOO of the SFT policy."""


class GRPOSpec(GRPOSettings, OptimizePolicySpec):
    """GRPO of the SFT policy."""


POLICY_SPECS: dict[Algorithm, type[PPOSpec] | type[RLOOSpec] | type[GRPOSpec]] = {
    Algorithm.PPO: PPOSpec,
    Algorithm.RLOO: RLOOSpec,
    Algorithm.GRPO: GRPOSpec,
}
