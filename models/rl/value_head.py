"""The value head's own optimizer: it is clipped and updated apart from the policy, replicated on every rank."""

from typing import Any

import torch
from torch import nn

from data_contracts.specs.optimize_policy import PPOSpec
from models.distributed.ranks import Ranks
from models.distributed.training_engine import BETAS, add_over_ranks


class HeadLearner:
    """A value head and what updates it."""

    def __init__(self, head: nn.Linear, spec: PPOSpec, ranks: Ranks) -> None:
        self.head, self._ranks = head, ranks
        self._rate = spec.value_learning_rate or spec.learning_rate
        self._limit = spec.value_max_grad_norm or spec.max_grad_norm
        self.optimizer = torch.optim.AdamW(
            head.parameters(), lr=self._rate, betas=BETAS, weight_decay=spec.weight_decay
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
        norm = torch.nn.utils.clip_grad_norm_(parameters, self._limit)
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
