"""What updates the weights of a policy, or of a rung that is pre-trained: a plain optimizer here, DeepSpeed in
`models/distributed/deepspeed_engine.py`.

Losses are sums over a rank's own tokens divided by the mini-batch's global token count, so gradients are *added* over
ranks and micro-batches: neither accumulation nor the number of processes changes an update.
"""

from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from models.distributed.ranks import Ranks
from models.lm.causal_model import CausalModel

BETAS = (0.9, 0.95)  # trlX's default
WEIGHTS_NAME, OPTIMIZER_NAME = "core.safetensors", "optimizer.pt"


class TrainingEngine(Protocol):
    """Backward passes and updates of a model, whole here or split among the ranks."""

    gradient_scale: float  # what `backward` multiplies gradients with before the ranks' are averaged

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """A pass of the core that `backward` may follow."""
        ...

    def backward(self, loss: Tensor, last: bool) -> None:
        """Add the gradients of a micro-batch's share of the loss; `last` of an update."""
        ...

    def step(self, rate: float) -> float:
        """Clip, update with learning rate `rate`, forget the gradients; returns their norm before clipping."""
        ...

    def save(self, folder: Path) -> None:
        """Write weights and optimizer state into `folder`; all ranks take part."""
        ...

    def load(self, folder: Path) -> None:
        """Read back what `save` wrote."""
        ...

    def weights(self) -> dict[str, Tensor]:
        """The core's whole state on the CPU; empty on every rank but the first. All ranks take part."""
        ...


def trunk_optimizer(core: CausalModel, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over the weights that learn."""
    trained = [p for p in core.parameters() if p.requires_grad]
    return torch.optim.AdamW(trained, lr=learning_rate, betas=BETAS, weight_decay=weight_decay)


class PlainEngine:
    """Every process holds all weights; gradients are added up by one all-reduce per update."""

    gradient_scale = 1.0

    def __init__(self, core: nn.Module, optimizer: torch.optim.Optimizer, max_grad_norm: float, ranks: Ranks) -> None:
        self.core, self.optimizer, self.max_grad_norm, self.ranks = core, optimizer, max_grad_norm, ranks
        self._trained = [p for p in core.parameters() if p.requires_grad]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.core(*args, **kwargs)

    def backward(self, loss: Tensor, last: bool) -> None:
        loss.backward()
        if last and self.ranks.world > 1:
            add_over_ranks(self._trained)

    def step(self, rate: float) -> float:
        norm = torch.nn.utils.clip_grad_norm_(self._trained, self.max_grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if bool(torch.isfinite(norm)):  # weights that met such a gradient would be lost
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(norm)

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_model

        if self.ranks.is_first:
            save_model(self.core, str(folder / WEIGHTS_NAME))
            torch.save(self.optimizer.state_dict(), folder / OPTIMIZER_NAME)

    def load(self, folder: Path) -> None:
        from safetensors.torch import load_model

        load_model(self.core, str(folder / WEIGHTS_NAME), device=str(self._trained[0].device))
        self.optimizer.load_state_dict(torch.load(folder / OPTIMIZER_NAME, weights_only=True))

    def weights(self) -> dict[str, Tensor]:
        if not self.ranks.is_first:
            return {}
        return {name: value.detach().cpu() for name, value in self.core.state_dict().items()}


def add_over_ranks(parameters: list[Any]) -> None:
    """Replace gradients by their sums over the ranks, in one message; a missing gradient counts as zero."""
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    for parameter, gradient, part in zip(
        parameters, gradients, flat.split([g.numel() for g in gradients]), strict=True
    ):
        parameter.grad = part.view_as(gradient).clone()
