"""Profile section of the optimizers that learn from the comparisons themselves: DPO, and DPO with mean log-ratios.

Where a default depends on which of the two runs, the field is empty and `resolved` fills it in.
"""

from enum import StrEnum
from typing import Self

from pydantic import Field

from data_contracts.config.optimizer_settings import OptimizerSettings, Schedule


class PreferenceLoss(StrEnum):
    """The losses, by TRL's names."""

    SIGMOID = "sigmoid"
    SIGMOID_NORM = "sigmoid_norm"


_DEFAULTS: dict[PreferenceLoss, dict[str, float]] = {
    PreferenceLoss.SIGMOID: {"beta": 0.1, "learning_rate": 1e-6, "batch_size": 64},
    PreferenceLoss.SIGMOID_NORM: {"beta": 5.0, "learning_rate": 5e-8, "batch_size": 32},
}


class PreferenceOptimization(OptimizerSettings):
    """DPO without a reward model (not in ALMoST); for policy.optimizer dpo and sigmoid_norm.

    "DPO" marks Rafailov et al. 2023, appendix B; "delta" marks delta learning (2507.06187), which runs sigmoid_norm. Both
    take AdamW here.
    """

    beta: float | None = Field(
        default=None, gt=0, title="Beta", description="Weight of the log-ratios; empty: 0.1 (DPO), 5 (delta)"
    )
    learning_rate: float | None = Field(
        default=None, gt=0, title="Learning rate", description="Empty: 1e-6 (DPO), 5e-8 (delta)"
    )
    batch_size: int | None = Field(
        default=None, ge=1, title="Batch", description="Pairs per update; empty: 64 (DPO), 32 (delta)"
    )
    epochs: float = Field(default=1.0, gt=0, title="Epochs", description="Ours, as for the reward model")
    max_length: int = Field(default=1024, ge=8, title="Longest row", description="Tokens; as for the reward model")
    schedule: Schedule = Field(default=Schedule.LINEAR, title="Schedule", description="Ours")
    warmup_share: float = Field(default=0.1, ge=0, lt=1, title="Warm-up share", description="Ours (DPO: 150 updates)")
    heldout_share: float = Field(
        default=0.1, ge=0, lt=1, title="Held-out share", description="Of the queries; the margin is measured on them"
    )

    def resolved(self, loss: PreferenceLoss) -> Self:
        """The same with the empty fields as the loss's source has them."""
        return self.model_copy(
            update={name: value for name, value in _DEFAULTS[loss].items() if getattr(self, name) is None}
        )
