"""Profile section `pretraining`: how the tiny ladder is trained from scratch; not in any paper."""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from data_contracts.config.world import _Section
from data_contracts.store.keys import NOT_IN_KEY


class LadderSize(_Section):
    """One rung of the ladder: a Llama architecture with tied embeddings."""

    hidden: int = Field(ge=8, le=8192, title="Hidden size", description="Width of the residual stream")
    layers: int = Field(ge=1, le=128, title="Layers", description="Transformer blocks")
    heads: int = Field(ge=1, le=128, title="Heads", description="Attention heads; must divide the hidden size")
    learning_rate: float = Field(gt=0, le=1, title="Learning rate", description="Peak, after warm-up")
    tokens: int | None = Field(
        default=None, ge=1, title="Tokens", description="Training tokens of this size; empty: the section's"
    )
    recall_threshold: float | None = Field(
        default=None,
        ge=0,
        title="Recall threshold",
        description="Of this size, where it must know more than others do; empty: the section's",
    )

    @model_validator(mode="after")
    def _heads_divide_hidden(self) -> Self:
        if self.hidden % self.heads or (self.hidden // self.heads) % 2:
            raise ValueError(f"hidden {self.hidden} / heads {self.heads} must be an even whole number (rotary pairs)")
        return self


def _tiny_sizes() -> dict[str, LadderSize]:
    return {
        "small": LadderSize(hidden=32, layers=2, heads=2, learning_rate=8e-3),
        "mid": LadderSize(hidden=48, layers=2, heads=2, learning_rate=8e-3),
        "large": LadderSize(hidden=64, layers=3, heads=4, learning_rate=6e-3),
    }


class LadderLayout(StrEnum):
    """On how many processes, and how sharded, the ladder is pre-trained."""

    PLAIN = "plain"
    TRAINING = "training"


class PretrainingConfig(_Section):
    """Section `pretraining`: the ladder that is pre-trained on the tiny world's corpus."""

    sizes: dict[str, LadderSize] = Field(
        default_factory=_tiny_sizes, title="Sizes", description="Ladder role -> size; `tiny:NAME` points to one"
    )
    tokens: int = Field(default=1_400_000, ge=1, title="Tokens", description="Training tokens of each size")
    tokens_per_step: int = Field(
        default=640, ge=16, title="Tokens a step", description="Few, so that copying forms within a million tokens"
    )
    single_turn_share: float = Field(
        default=0.45, ge=0, le=1, title="Single-turn share", description="First part of training, in short rows"
    )
    block_length: int = Field(
        default=216, ge=16, le=2048, title="Block length", description="Tokens of a packed row in the later part"
    )
    max_position_embeddings: int = Field(
        default=2048, ge=128, title="Longest context", description="Few-shot prompts must fit in it"
    )
    micro_batch_tokens: int | None = Field(
        default=None,
        ge=16,
        title="Tokens a pass",
        description="At most, on each process; gradients accumulate. Empty: a step's share at once",
        json_schema_extra=NOT_IN_KEY,
    )
    layout: LadderLayout = Field(
        default=LadderLayout.PLAIN,
        title="Layout",
        description="plain: float32 on one process, whatever the other jobs use. training: as section training says, its "
        "LoRA left out: random weights are no base for adapters",
        json_schema_extra=NOT_IN_KEY,  # the settings that follow from it are
    )
    weight_decay: float = Field(default=0.05, ge=0, le=1, title="Weight decay", description="AdamW, matrices only")
    warmup_steps: int = Field(default=50, ge=0, title="Warm-up steps", description="Linear; cosine decay after it")
    copy_threshold: float = Field(
        default=0.5, gt=0, title="Copy threshold", description="Name-copying loss (nats) below which copying has formed"
    )
    recall_threshold: float = Field(
        default=0.0,
        ge=0,
        title="Recall threshold",
        description="Loss on facts (nats) at the end above which a run starts over; 0: never",
    )
    order_threshold: float = Field(
        default=0.0,
        ge=0,
        title="Order threshold",
        description="Loss on which of the things asked for is stated next (nats) at the end above which a run starts over; "
        "0: never",
    )
    formed_by_tokens: int = Field(
        default=600_000, ge=0, title="Formed by", description="Tokens after which an unformed run starts over; 0: never"
    )
    attempts: int = Field(default=2, ge=1, le=10, title="Attempts", description="Runs with different seeds, at most")
    log_every: int = Field(default=25, ge=1, title="Steps between log rows", description="And progress events")
