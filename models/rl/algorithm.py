"""What an algorithm of policy optimisation must say, and what it is given to say it.

Shapes: B rollouts of a step, b rows of a micro-batch, T response positions; padding counts nothing anywhere.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.lm.causal_model import TokenBatch
from models.rl.value_head import ValueLearning


@dataclass(frozen=True)
class SampledStep:
    """A step's rollouts as policy, reference and scorer read them: `scores` (B,), everything else (B, T)."""

    scores: Tensor  # scaled and clipped, less the missing-end penalty
    logprobs: Tensor
    reference: Tensor  # the reference's log-probabilities
    values: Tensor  # 0 without a value head
    mask: Tensor  # 1 on response tokens
    kl_coefficient: float


@dataclass(frozen=True)
class Advantages:
    """What a step's rollouts were worth, all (B, T) and 0 on padding; `rewards` hold the scores and the price of KL."""

    rewards: Tensor
    advantages: Tensor
    returns: Tensor  # what a value head learns; 0 without one


@dataclass(frozen=True)
class MiniBatchSize:
    """Response tokens and rows of a mini-batch, all ranks together."""

    tokens: float
    rows: float


@dataclass(frozen=True)
class Part:
    """Some rows of a step on the device that computes: a micro-batch of a mini-batch of `size`.

    Every tensor is (b, T) but the batch's ids, `weights` (b,), which are 0 for rows that do not count, and `allowed`
    (b, T, V), the nucleus that each token was drawn from; None when top-p is 1.
    """

    batch: TokenBatch
    logprobs: Tensor
    values: Tensor
    reference: Tensor
    advantages: Tensor
    returns: Tensor
    kl_coefficient: float
    allowed: Tensor | None
    weights: Tensor
    size: MiniBatchSize


Loss = tuple[Tensor, dict[str, float]]


class Algorithm:
    """A way to optimise the policy after SFT."""

    needs_value_head: ClassVar[bool] = False


class RewardAlgorithm(Algorithm, ABC):
    """An algorithm that learns from the rewards of its own samples; `models/rl/loop.py` runs it."""

    @property
    def value_learning(self) -> ValueLearning | None:
        """How the value head learns; None without one."""
        return None

    @abstractmethod
    def advantages(self, step: SampledStep) -> Advantages:
        """Rewards, advantages and returns of a whole step."""

    @abstractmethod
    def loss(self, part: Part, logprobs: Tensor, values: Tensor, value_only: bool = False) -> Loss:
        """A micro-batch's share of the mini-batch's loss (without entropy), and what it measured.

        `logprobs` and `values` (b, T) are the current policy's. Sums are divided by the size of the whole mini-batch, so
        that shares add up to means whatever the number of micro-batches and ranks. With `value_only` the policy's loss is
        measured, but is no part of the loss.
        """


class PairAlgorithm(Algorithm):
    """An algorithm that learns from comparisons; TRL's DPO trainer runs it (`models/jobs/optimize_by_preferences.py`)."""

    trl_loss: ClassVar[str]  # TRL's name of the loss
