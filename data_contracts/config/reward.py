"""Profile section of the reward model (ALMoST 2.1). Sources stand beside each default."""

from enum import StrEnum

from pydantic import Field

from data_contracts.config.optimizer_settings import OptimizerSettings, Schedule


class LikelihoodFeature(StrEnum):
    """Whether a frozen base model's likelihood of the answer is part of the reward (not in the paper)."""

    OFF = "off"
    ADDED = "added"
    ALONE = "alone"


class EnsembleScore(StrEnum):
    """How an ensemble's scores become one."""

    MEAN = "mean"
    WORST = "worst"


class RewardTraining(OptimizerSettings):
    """Training of a reward model (ALMoST 2.1): -log sigmoid(r(x, chosen) - r(x, rejected))."""

    epochs: float = Field(default=1.0, gt=0, title="Epochs", description="ALMoST section 2.1: 1")
    learning_rate: float = Field(default=1e-5, gt=0, title="Learning rate", description="ALMoST section 2.1: 1e-5")
    batch_size: int = Field(default=64, ge=1, title="Batch", description="Pairs per update; ALMoST section 2.1: 64")
    max_length: int = Field(default=1024, ge=8, title="Longest row", description="Tokens; ALMoST section 2.1: 1024")
    schedule: Schedule = Field(default=Schedule.COSINE, title="Schedule", description="Ours (the paper is silent)")
    warmup_share: float = Field(default=0.03, ge=0, lt=1, title="Warm-up share", description="Ours, as for SFT")
    center_rewards_coefficient: float | None = Field(
        default=None,
        ge=0,
        title="Weight of centred rewards",
        description="Weight of (r_chosen + r_rejected)^2 in the loss; the paper has none",
    )
    rank_margin: float = Field(
        default=0.0,
        ge=0,
        title="Margin per rank",
        description="Times the responders' distance in the assumed order, asked of a pair's margin (Llama 2's margin "
        "loss, Touvron et al. 2023, 3.2.2); the paper has none",
    )
    ensemble: int = Field(
        default=1,
        ge=1,
        le=16,
        title="Reward models",
        description="Trained from different seeds; each learns its own weight of the likelihood. The paper: 1",
    )
    ensemble_score: EnsembleScore = Field(
        default=EnsembleScore.MEAN, title="Ensemble's score", description="mean, or the worst (Coste et al. 2023)"
    )
    heldout_share: float = Field(
        default=0.1, ge=0, lt=1, title="Held-out share", description="Of the queries, not pairs"
    )
    likelihood: LikelihoodFeature = Field(
        default=LikelihoodFeature.OFF,
        title="Likelihood feature",
        description="added: the frozen base's mean log-likelihood of the answer joins the head, with a learnt weight; "
        "alone: without the head (a control). The paper's reward model is 'off'",
    )
    likelihood_learning_rate: float = Field(
        default=0.1,
        gt=0,
        title="Likelihood feature: learning rate",
        description="Of the likelihood's one weight, which starts at 0",
    )

    def plain(self) -> "RewardTraining":
        """The same for the as-is reward model: one model, its pairs without ranks, never the likelihood feature."""
        return self.model_copy(update={"likelihood": LikelihoodFeature.OFF, "ensemble": 1, "rank_margin": 0.0})
