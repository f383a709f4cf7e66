"""What the profile sections of all training steps share."""

from enum import StrEnum

from pydantic import Field

from data_contracts.config.section import Section
from data_contracts.store.keys import NOT_IN_KEY


class Schedule(StrEnum):
    """How the learning rate falls after its warm-up."""

    COSINE = "cosine"
    LINEAR = "linear"
    CONSTANT = "constant"


class OptimizerSettings(Section):
    """What every training job shares."""

    micro_batch_size: int = Field(
        default=8,
        ge=1,
        title="Micro-batch size (rows)",
        description="Most rows per forward pass and process; gradients of a batch add up",
        json_schema_extra=NOT_IN_KEY,
    )
    weight_decay: float = Field(default=0.0, ge=0, title="Weight decay", description="Of AdamW; Alpaca's recipe: 0")
    max_grad_norm: float = Field(
        default=1.0,
        gt=0,
        title="Gradient norm limit",
        description="Larger gradients are scaled down to it; ours (the paper is silent)",
    )
