"""The value head's own optimizer: it is clipped and updated apart from the policy, replicated on every rank."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from models.distributed.ranks import Ranks
from models.distributed.training_engine import BETAS, add_over_ranks


@dataclass(frozen=True)
class ValueLearning:
    """How a value head learns. In the first `warmup_steps` steps only it learns; `detach` keeps its loss to itself."""

    detach: bool
    learning_rate: float
    max_grad_norm: float
    weight_decay: float
    warmup_steps: int


class HeadLearner:
    """A value head and what updates it."""

    def __init__(self, head: nn.Linear, learning: ValueLearning, ranks: Ranks) -> None:
        self.head, self.learning, self._ranks = head, learning, ranks
        self._rate = learning.learning_rate
        self.optimizer = torch.optim.AdamW(
            head.parameters(), lr=self._rate, betas=BETAS, weight_decay=learning.weight_decay
        )

    def step(self, factor: float, gradient_scale: float) -> float:
        """Clip and update with `factor` times the learning rate; returns the gradient's norm before clipping.

        `gradient_scale` is what the backward pass multiplied gradients with.
        """
        parameters = list(self.head.parameters())
        if self._ranks.world > 1:
            add_over_ranks(parameters)
        for parameter in parameters:
            assert parameter.grad is not None
            parameter.grad /= gradient_scale
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.learning.max_grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate * factor
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(norm)

    def state(self) -> dict[str, Any]:
        """Weights and optimizer state."""
        return {"weights": self.head.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self.head.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
