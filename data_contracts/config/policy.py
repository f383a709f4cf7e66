"""Profile section `policy`: how the SFT policy is optimised (ALMoST section 2.3)."""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from data_contracts.config.optimizer_settings import OptimizerSettings, Schedule
from data_contracts.store.keys import NOT_IN_KEY


class KeepModel(StrEnum):
    """Which PPO checkpoint becomes the job's model."""

    BEST = "best"
    LAST = "last"


class ScoreNormalization(StrEnum):
    """How raw reward-model scores are scaled before PPO sees them."""

    NONE = "none"
    RUNNING = "running"
    BATCH = "batch"
    PAIRWISE = "pairwise"


class ScoreSource(StrEnum):
    """Who scores PPO's samples."""

    REWARD_MODEL = "reward_model"
    GOLD_JUDGE = "gold_judge"


class KLEstimator(StrEnum):
    """How the KL to the reference is estimated from the sampled tokens (Schulman's note of 2020)."""

    K1 = "k1"
    K2 = "k2"
    K3 = "k3"


class PolicyOptimizer(StrEnum):
    """How the policy is optimised: against the reward model, or (dpo, sigmoid_norm) on the comparisons themselves."""

    PPO = "ppo"
    DPO = "dpo"
    SIGMOID_NORM = "sigmoid_norm"
    RLOO = "rloo"
    GRPO = "grpo"

    @property
    def learns_from_pairs(self) -> bool:
        """Whether it needs no reward model."""
        return self in (PolicyOptimizer.DPO, PolicyOptimizer.SIGMOID_NORM)

    @property
    def compares_groups(self) -> bool:
        """Whether a sample's advantage is relative to the other samples of its prompt."""
        return self in (PolicyOptimizer.RLOO, PolicyOptimizer.GRPO)


class PolicyOptimization(OptimizerSettings):
    """Reinforcement learning from synthetic feedback (ALMoST 2.3); "trlX" marks its defaults, the paper prints none."""

    optimizer: PolicyOptimizer = Field(
        default=PolicyOptimizer.PPO,
        title="Optimizer",
        description="ALMoST 2.3: ppo. rloo and grpo compare the samples of a prompt: no value head, and no field of values, "
        "discount, GAE or whitening is read; dpo and sigmoid_norm (delta learning) learn from the comparisons, see section "
        "dpo",
    )
    score_source: ScoreSource = Field(
        default=ScoreSource.REWARD_MODEL,
        title="Who scores",
        description="gold_judge: the tiny world's facts, a ceiling to compare with (not in the paper)",
    )
    steps: int = Field(default=100, ge=1, title="PPO steps", description="Rounds of sampling and updates; ours")
    rollouts: int = Field(default=128, ge=1, title="Rollouts", description="Per step; trlX: 128")
    samples_per_prompt: int = Field(default=1, ge=1, title="Samples per prompt", description="trlX: 1")
    epochs: int = Field(default=4, ge=1, title="PPO epochs", description="Passes over each step's rollouts; trlX: 4")
    minibatch_size: int = Field(default=32, ge=1, title="Mini-batch", description="Rollouts per update; trlX: 32")
    learning_rate: float = Field(default=3e-5, gt=0, title="Learning rate", description="trlX: 3e-5")
    value_learning_rate: float | None = Field(
        default=None, gt=0, title="Value head's learning rate", description="Empty: the policy's (trlX)"
    )
    value_max_grad_norm: float | None = Field(
        default=None,
        gt=0,
        title="Value head's gradient norm limit",
        description="On the head alone, which never scales the policy's gradient; empty: max_grad_norm; ours",
    )
    value_warmup_steps: int = Field(
        default=0, ge=0, title="Value warm-up", description="First steps, in which only the value head learns; trlX: 0"
    )
    schedule: Schedule = Field(default=Schedule.CONSTANT, title="Schedule", description="trlX: in effect constant")
    warmup_share: float = Field(default=0.0, ge=0, lt=1, title="Warm-up share", description="trlX: none")
    unfrozen_layers: int | None = Field(
        default=None, ge=1, title="Unfrozen layers", description="Top blocks that learn; empty: all (trlX: 2)"
    )
    max_prompt_tokens: int = Field(
        default=512, ge=4, title="Longest prompt", description="Tokens; older turns go first"
    )
    max_new_tokens: int = Field(default=128, ge=1, title="Longest response", description="Tokens; ours")
    temperature: float = Field(
        default=1.0, gt=0, title="Temperature", description="Of sampling, mirrored in all log-probabilities; trlX: 1"
    )
    top_p: float = Field(
        default=1.0,
        gt=0,
        le=1,
        title="Nucleus mass",
        description="Of sampling; each token's nucleus is kept and mirrored in all log-probabilities; trlX: 1",
    )
    generation_batch_size: int = Field(
        default=64, ge=1, title="Generation batch", description="Rows sampled at once", json_schema_extra=NOT_IN_KEY
    )
    kl_coefficient: float = Field(default=0.001, ge=0, title="KL coefficient", description="trlX: 0.001")
    kl_estimator: KLEstimator = Field(
        default=KLEstimator.K1,
        title="KL estimator",
        description="Of the reward's KL term; the paper and trlX: k1 (grpo's loss has k3)",
    )
    kl_target: float | None = Field(
        default=None, gt=0, title="KL target", description="Nats per response; empty: fixed coefficient"
    )
    kl_horizon: int = Field(default=10_000, ge=1, title="KL horizon", description="Rollouts; trlX: 10000")
    gamma: float = Field(default=1.0, gt=0, le=1, title="Discount", description="trlX: 1")
    gae_lambda: float = Field(default=0.95, ge=0, le=1, title="GAE lambda", description="trlX: 0.95")
    clip_range: float = Field(default=0.2, gt=0, title="Policy clip", description="trlX: 0.2")
    value_clip_range: float = Field(default=0.2, gt=0, title="Value clip", description="trlX: 0.2")
    value_coefficient: float = Field(default=1.0, ge=0, title="Value loss weight", description="trlX: 1")
    entropy_coefficient: float = Field(default=0.0, ge=0, title="Entropy bonus", description="trlX: none")
    detach_value: bool = Field(
        default=False,
        title="Detach value head",
        description="True: the value loss does not reach the trunk; trlX: False",
    )
    whiten_advantages: bool = Field(default=True, title="Whiten advantages", description="trlX: yes")
    whiten_rewards: bool = Field(default=False, title="Whiten rewards", description="TRL's option; trlX: no")
    score_normalization: ScoreNormalization = Field(
        default=ScoreNormalization.NONE,
        title="Score scaling",
        description="trlX: none, running as an option; pairwise (not in the paper): 4 x (mean win probability against the "
        "prompt's other samples - .5), bounded, so that no raw score can run away",
    )
    score_clip: float | None = Field(default=10.0, gt=0, title="Score clip", description="On |score|; trlX: 10")
    missing_end_penalty: float = Field(
        default=1.0, ge=0, title="Missing-end penalty", description="Taken from the score of a cut response; ours"
    )
    validation_share: float = Field(
        default=0.1, ge=0, lt=1, title="Validation share", description="Of the queries, kept out of training; ours"
    )
    validation_prompts: int = Field(default=256, ge=1, title="Validation prompts", description="At most; ours")
    validate_every: int = Field(default=20, ge=1, title="Steps between validations", description="Ours")
    keep_model: KeepModel = Field(
        default=KeepModel.BEST, title="Model to keep", description="best: highest validation score, ties to the earlier"
    )

    @model_validator(mode="after")
    def _pairwise_has_pairs(self) -> Self:
        pairwise = self.score_normalization is ScoreNormalization.PAIRWISE
        if pairwise and (self.samples_per_prompt < 2 or self.rollouts % self.samples_per_prompt):
            raise ValueError(
                "score_normalization 'pairwise' compares the samples of one prompt: set samples_per_prompt to 2 or more "
                "and rollouts to a multiple of it"
            )
        return self

    @model_validator(mode="after")
    def _groups_are_whole(self) -> Self:
        alone = self.samples_per_prompt < 2 or self.rollouts % self.samples_per_prompt
        if self.optimizer.compares_groups and alone:
            raise ValueError(
                f"policy.optimizer {self.optimizer} compares the samples of one prompt: set samples_per_prompt to 2 or "
                "more and rollouts to a multiple of it"
            )
        return self
