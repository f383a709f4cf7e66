"""The policy with its value head, and the frozen reference (ALMoST section 2.3, trlX's arrangement).

The value head is a linear layer on the last hidden state of the policy's own trunk; its loss reaches the trunk unless
`detach_value` is set. It starts at zero, so the first advantages are the rewards themselves. RLOO and GRPO have none.
Log-probabilities are those of the distribution that is sampled from: logits are divided by the temperature everywhere.

Departures: 1. trlX's value head is a two-layer perceptron. 2. trlX may share the frozen lower layers between policy and
reference; here the reference is a whole second model, so any architecture works.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from data_contracts.errors import ConfigError
from models.lm.causal_model import CausalModel, TokenBatch, response_logits, token_logprobs


class Policy(nn.Module):
    """A causal language model and, where one is learnt, a linear value head on its last hidden state."""

    def __init__(
        self,
        model: Any,
        *,
        value_head: bool = True,
        detach_value: bool = False,
        entropy_gradient: bool = False,
        device: torch.device | None = None,
    ) -> None:
        super().__init__()
        self.core = CausalModel(model, device)
        self.value_head = value_head_of(model, device) if value_head else None
        self.detach_value, self.entropy_gradient = detach_value, entropy_gradient
        # What a pass with gradients goes through; a training engine puts itself here.
        self.training_pass: Callable[..., tuple[Tensor, Tensor]] = lambda *args, **kwargs: self.core(*args, **kwargs)

    @property
    def model(self) -> Any:
        """The causal language model."""
        return self.core.model

    def forward(
        self, batch: TokenBatch, temperature: float, *, allowed: Tensor | None = None, value_only: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities, values and entropies of the response tokens: three times (B, T).

        The value at t is read before token t is chosen, from the position that predicts it; 0 without a value head.
        `allowed` (B, T, V) is the nucleus each token was drawn from. With `value_only` gradients flow into the value head
        alone.
        """
        learning = torch.is_grad_enabled() and not value_only
        with torch.set_grad_enabled(learning):
            run = self.training_pass if learning else self.core
            hidden, logits = response_logits(run, batch)  # (B, T, H), (B, T, V)
            logprobs, entropy = token_logprobs(logits, batch.responses, temperature, allowed, self.entropy_gradient)
        if self.value_head is None:
            return logprobs, torch.zeros_like(logprobs), entropy
        seen = hidden.detach() if self.detach_value else hidden
        return logprobs, self.value_head(seen.to(self.value_head.weight.dtype)).squeeze(-1), entropy

    @contextmanager
    def inference(self) -> Iterator[None]:
        """No gradients, and no activation checkpointing, which would silently ignore the cache of a sampling pass."""
        training = self.core.training
        self.core.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.core.train(training)


def value_head_of(model: Any, device: torch.device | None) -> nn.Linear:
    """A value head for the model, with weights of zero."""
    head = nn.Linear(model.config.get_text_config().hidden_size, 1, device=device)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def freeze_lower_layers(model: Any, unfrozen: int | None) -> None:
    """Let only the top `unfrozen` blocks (and what lies above them) learn; None leaves everything trainable."""
    if unfrozen is None:
        return
    blocks = next((m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) > 0), None)
    if blocks is None or unfrozen > len(blocks):
        raise ConfigError(f"unfrozen_layers is {unfrozen}, but the policy has {len(blocks or [])} blocks")
    for part in (model.get_input_embeddings(), *list(blocks)[: len(blocks) - unfrozen]):
        part.requires_grad_(False)
