"""Settings of the algorithms that learn from the rewards of their own samples: what all share, RLOO and GRPO.

PPO's own settings are in `data_contracts/config/policy/ppo.py`. The paper prints none: "trlX" marks defaults of trlX's PPO, "ours" marks the project's own.
"""

from enum import StrEnum
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from data_contracts.config.algorithm import Algorithm
from data_contracts.config.optimizer_settings import OptimizerSettings, Schedule
from data_contracts.config.training import TrainingSettings
from data_contracts.store.keys import NOT_IN_KEY


class KeepModel(StrEnum):
    """Which checkpoint of the training becomes the step's model."""

    BEST = "best"
    LAST = "last"


class ScoreNormalization(StrEnum):
    """How raw scores are scaled before the policy learns from them."""

    NONE = "none"
    RUNNING = "running"
    BATCH = "batch"
    PAIRWISE = "pairwise"


class ScoreSource(StrEnum):
    """Who scores the policy's samples."""

    REWARD_MODEL = "reward_model"
    GOLD_JUDGE = "gold_judge"


class KLEstimator(StrEnum):
    """How the KL to the reference is estimated from the sampled tokens (Schulman's note of 2020)."""

    K1 = "k1"
    K2 = "k2"
    K3 = "k3"


class LearningFromRewards(OptimizerSettings):
    """What PPO, RLOO and GRPO share: sampling, scoring, the price of KL, updates and validation."""

    compares_samples: ClassVar[bool] = False  # whether an advantage is relative to the prompt's other samples

    algorithm: Algorithm
    score_source: ScoreSource = Field(
        default=ScoreSource.REWARD_MODEL,
        title="Scorer of the samples",
        description="reward_model, or gold_judge: the facts of the tiny world, a ceiling to compare with (not in the paper)",
    )
    steps: int = Field(
        default=100, ge=1, title="Training steps", description="Rounds of sampling, scoring and updating; ours"
    )
    rollouts: int = Field(default=128, ge=1, title="Rollouts per step", description="Responses sampled; trlX: 128")
    samples_per_prompt: int = Field(
        default=1, ge=1, title="Samples per prompt", description="Responses sampled to each prompt of a step; trlX: 1"
    )
    epochs: int = Field(
        default=4, ge=1, title="Passes per step", description="How often a step's rollouts are learnt from; trlX: 4"
    )
    minibatch_size: int = Field(
        default=32, ge=1, title="Mini-batch size (rollouts)", description="Rollouts per update; trlX: 32"
    )
    learning_rate: float = Field(default=3e-5, gt=0, title="Learning rate", description="Of AdamW; trlX: 3e-5")
    schedule: Schedule = Field(
        default=Schedule.CONSTANT,
        title="Learning-rate schedule",
        description="How the learning rate falls; trlX: in effect constant",
    )
    warmup_share: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        title="Warm-up share",
        description="Share of the updates in which the learning rate rises; trlX: none",
    )
    unfrozen_layers: int | None = Field(
        default=None, ge=1, title="Unfrozen layers", description="Top blocks that learn; empty: all (trlX: 2)"
    )
    max_prompt_tokens: int = Field(
        default=512,
        ge=4,
        title="Longest prompt (tokens)",
        description="A longer context loses its oldest turns; ours",
    )
    max_new_tokens: int = Field(
        default=128, ge=1, title="Longest response (tokens)", description="A response is cut here; ours"
    )
    temperature: float = Field(
        default=1.0,
        gt=0,
        title="Sampling temperature",
        description="Also divides the logits of all log-probabilities; trlX: 1",
    )
    top_p: float = Field(
        default=1.0,
        gt=0,
        le=1,
        title="Sampling nucleus (top-p)",
        description="Each token's nucleus is kept, and all log-probabilities are taken inside it; trlX: 1",
    )
    generation_batch_size: int = Field(
        default=64,
        ge=1,
        title="Generation batch size (rows)",
        description="Responses sampled at once",
        json_schema_extra=NOT_IN_KEY,
    )
    kl_coefficient: float = Field(
        default=0.001, ge=0, title="KL coefficient", description="Price of a nat of KL to the SFT model; trlX: 0.001"
    )
    kl_target: float | None = Field(
        default=None,
        gt=0,
        title="KL target (nats per response)",
        description="The KL coefficient is adapted towards it; empty: the coefficient stays",
    )
    kl_horizon: int = Field(
        default=10_000,
        ge=1,
        title="KL horizon (rollouts)",
        description="How slowly the KL coefficient is adapted; trlX: 10000",
    )
    clip_range: float = Field(
        default=0.2,
        gt=0,
        title="Policy clip range",
        description="How far a probability ratio may leave 1 before its gradient ends; trlX: 0.2",
    )
    entropy_coefficient: float = Field(
        default=0.0, ge=0, title="Entropy bonus", description="Weight of the mean entropy per token; trlX: none"
    )
    score_normalization: ScoreNormalization = Field(
        default=ScoreNormalization.NONE,
        title="Score scaling",
        description="trlX: none, running as an option; pairwise (not in the paper): 4 x (mean win probability against the "
        "prompt's other samples - .5), bounded, so that no raw score can run away",
    )
    score_clip: float | None = Field(
        default=10.0, gt=0, title="Score clip", description="Largest size of a scaled score; empty: no clip; trlX: 10"
    )
    missing_end_penalty: float = Field(
        default=1.0,
        ge=0,
        title="Missing-end penalty",
        description="Taken from the score of a response that was cut at its longest; ours",
    )
    validation_share: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        title="Validation share",
        description="Share of the queries whose prompts are kept out of training; ours",
    )
    validation_prompts: int = Field(
        default=256, ge=1, title="Validation prompts", description="Prompts answered per validation, at most; ours"
    )
    validate_every: int = Field(
        default=20, ge=1, title="Steps between validations", description="The last step is always followed by one; ours"
    )
    keep_model: KeepModel = Field(
        default=KeepModel.BEST,
        title="Model to keep",
        description="best: the model with the highest validation score, the earlier one at a tie; last: of the last step",
    )

    @model_validator(mode="after")
    def _batches_are_whole(self) -> Self:
        if self.minibatch_size > self.rollouts:
            raise ValueError(
                f"minibatch_size {self.minibatch_size} is more than rollouts {self.rollouts}; lower the one or raise the "
                "other"
            )
        pairwise = self.score_normalization is ScoreNormalization.PAIRWISE
        whole = self.samples_per_prompt > 1 and self.rollouts % self.samples_per_prompt == 0
        if (self.compares_samples or pairwise) and not whole:
            who = f"algorithm '{self.algorithm}'" if self.compares_samples else "score_normalization 'pairwise'"
            raise ValueError(
                f"{who} compares the samples of one prompt: set samples_per_prompt to 2 or more and rollouts to a "
                f"multiple of it (found {self.samples_per_prompt} and {self.rollouts})"
            )
        return self

    def check_layers(self, training: TrainingSettings) -> None:
        """Raise ValueError where some layers are frozen although adapters are trained, which learn in every layer."""
        if training.lora_rank and self.unfrozen_layers is not None:
            raise ValueError(
                "policy.unfrozen_layers does not go with training.lora_rank: adapters learn in every layer; leave one out"
            )


class KLInReward(LearningFromRewards):
    """What PPO and RLOO share beyond that: their rewards hold the price of the KL."""

    kl_estimator: KLEstimator = Field(
        default=KLEstimator.K1,
        title="KL estimator",
        description="Of the KL term in the reward: k1, k2 or k3; the paper and trlX: k1",
    )


class RLOOSettings(KLInReward):
    """RLOO (Ahmadian et al. 2024): a response's reward less the mean reward of its prompt's other responses."""

    compares_samples: ClassVar[bool] = True

    algorithm: Literal[Algorithm.RLOO] = Algorithm.RLOO
    samples_per_prompt: int = Field(
        default=4,
        ge=2,
        title="Samples per prompt (group size)",
        description="Responses that are compared with each other; Ahmadian et al.: 2 and 4",
    )


class GRPOSettings(LearningFromRewards):
    """GRPO (DeepSeekMath, 2402.03300): scores standardised within a prompt's responses; the KL (k3) is in the loss."""

    compares_samples: ClassVar[bool] = True

    algorithm: Literal[Algorithm.GRPO] = Algorithm.GRPO
    samples_per_prompt: int = Field(
        default=8,
        ge=2,
        title="Samples per prompt (group size)",
        description="Responses that are compared with each other; TRL: 8, DeepSeekMath: 64",
    )
