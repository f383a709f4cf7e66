"""Settings of the algorithms that learn from the comparisons themselves: DPO, and DPO with mean log-ratios.

"DPO" marks values of Rafailov et al. 2023, appendix B; "delta" marks those of delta learning (2507.06187). The optimizer
is AdamW for both.
"""

from typing import Annotated, Literal

from pydantic import Field

from data_contracts.config.algorithm import Algorithm
from data_contracts.config.optimizer_settings import OptimizerSettings, Schedule

Beta = Annotated[
    float,
    Field(
        gt=0,
        title="DPO's beta",
        description="Weight of the log-ratios between policy and reference: the larger, the closer the policy stays to "
        "the SFT model. DPO: 0.1; delta: 5",
    ),
]
PairLearningRate = Annotated[
    float, Field(gt=0, title="Learning rate", description="Highest learning rate of AdamW. DPO: 1e-6; delta: 5e-8")
]
PairBatch = Annotated[int, Field(ge=1, title="Batch size (pairs)", description="Pairs per update. DPO: 64; delta: 32")]


class LearningFromPairs(OptimizerSettings):
    """What DPO and its length-normalised form share. A field without a default here has one in each algorithm."""

    algorithm: Algorithm
    beta: Beta
    learning_rate: PairLearningRate
    batch_size: PairBatch
    epochs: float = Field(
        default=1.0, gt=0, title="Epochs", description="Passes over the training pairs; ours, as for the reward model"
    )
    max_length: int = Field(
        default=1024,
        ge=8,
        title="Longest prompt and answer (tokens)",
        description="A longer context loses its oldest turns; as for the reward model",
    )
    schedule: Schedule = Field(
        default=Schedule.LINEAR, title="Learning-rate schedule", description="How the learning rate falls; ours"
    )
    warmup_share: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        title="Warm-up share",
        description="Share of the updates in which the learning rate rises; ours (DPO: 150 updates)",
    )
    heldout_share: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        title="Held-out share",
        description="Share of the queries whose pairs are not learnt from; loss, margin and accuracy are measured on them",
    )


class DPOSettings(LearningFromPairs):
    """DPO (Rafailov et al. 2023): log-ratios summed over an answer's tokens. Not in ALMoST."""

    algorithm: Literal[Algorithm.DPO] = Algorithm.DPO
    beta: Beta = 0.1
    learning_rate: PairLearningRate = 1e-6
    batch_size: PairBatch = 64


class SigmoidNormSettings(LearningFromPairs):
    """Length-normalised DPO, the loss of delta learning (2507.06187): log-ratios averaged over an answer's tokens."""

    algorithm: Literal[Algorithm.SIGMOID_NORM] = Algorithm.SIGMOID_NORM
    beta: Beta = 5.0
    learning_rate: PairLearningRate = 5e-8
    batch_size: PairBatch = 32
