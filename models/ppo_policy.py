"""The policy with its value head, and the frozen reference (ALMoST section 2.3, trlX's arrangement).

The value head is a linear layer on the last hidden state of the policy's own trunk; its loss reaches the trunk unless
`detach_value` is set. It starts at zero, so the first advantages are the rewards themselves.
Log-probabilities are those of the distribution that is sampled from: logits are divided by the temperature everywhere.

Departures: 1. trlX's value head is a two-layer perceptron. 2. trlX may share the frozen lower layers between policy and
reference; here the reference is a whole second model, so any architecture works.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from data_contracts.errors import ConfigError


@dataclass
class TokenBatch:
    """Prompts padded on the left, responses on the right: all (B, P + T) or (B, T)."""

    ids: Tensor  # (B, P + T)
    attention: Tensor  # (B, P + T), 1 on real tokens
    response_mask: Tensor  # (B, T), 1 on real response tokens

    @property
    def prompt_width(self) -> int:
        """P, the width of the padded prompts."""
        return self.ids.shape[1] - self.response_mask.shape[1]

    def rows(self, chosen: Tensor) -> "TokenBatch":
        """The chosen rows (n,), without columns that are padding in all of them."""
        width = self.prompt_width
        attention, mask = self.attention[chosen], self.response_mask[chosen]
        left = int((attention[:, :width].sum(dim=0) == 0).sum())
        right = width + int((mask.sum(dim=0) > 0).sum())
        return TokenBatch(self.ids[chosen, left:right], attention[:, left:right], mask[:, : right - width])

    def to(self, device: torch.device) -> "TokenBatch":
        """The same on another device."""
        return TokenBatch(self.ids.to(device), self.attention.to(device), self.response_mask.to(device))

    def positions(self) -> Tensor:
        """Position ids (B, P + T) that count real tokens only."""
        return (self.attention.cumsum(dim=1) - 1).clamp(min=0)


class PolicyWithValue(nn.Module):
    """A causal language model and a linear value head on its last hidden state."""

    def __init__(self, model: Any, *, detach_value: bool = False, entropy_gradient: bool = False) -> None:
        super().__init__()
        self.model = model
        self.value_head = nn.Linear(model.config.get_text_config().hidden_size, 1)
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)
        self.detach_value, self.entropy_gradient = detach_value, entropy_gradient

    def forward(
        self, batch: TokenBatch, temperature: float, *, detach_value: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities, values and entropies of the response tokens: three times (B, T).

        The value at t is read before token t is chosen, from the position that predicts it. `detach_value` keeps this
        pass's value gradient out of the trunk even when the model's own setting does not.
        """
        hidden = last_hidden(self.model, batch)  # (B, T, H)
        logprobs, entropy = token_logprobs(self.model, hidden, batch, temperature, self.entropy_gradient)
        seen = hidden.detach() if self.detach_value or detach_value else hidden
        return logprobs, self.value_head(seen.to(self.value_head.weight.dtype)).squeeze(-1), entropy


def last_hidden(model: Any, batch: TokenBatch) -> Tensor:
    """Hidden states (B, T, H) at the positions that predict the T response tokens."""
    out = trunk_of(model)(
        input_ids=batch.ids[:, :-1],
        attention_mask=batch.attention[:, :-1],
        position_ids=batch.positions()[:, :-1],
        use_cache=False,
    )
    return out.last_hidden_state[:, batch.prompt_width - 1 :]


def token_logprobs(
    model: Any, hidden: Tensor, batch: TokenBatch, temperature: float, entropy_gradient: bool = False
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the response tokens and entropies of their distributions, both (B, T)."""
    everything = torch.log_softmax(head_logits(model, hidden) / temperature, dim=-1)  # (B, T, V)
    chosen = batch.ids[:, batch.prompt_width :].unsqueeze(-1)
    with torch.set_grad_enabled(entropy_gradient and torch.is_grad_enabled()):
        entropy = -(everything.exp() * everything).sum(dim=-1)
    return everything.gather(-1, chosen).squeeze(-1), entropy


def head_logits(model: Any, hidden: Tensor) -> Tensor:
    """Logits (..., V) in float32 of hidden states (..., H), with the soft cap that some families apply."""
    logits = model.get_output_embeddings()(hidden).float()
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    return logits if cap is None else cap * torch.tanh(logits / cap)


def trunk_of(model: Any) -> Any:
    """The part of a causal language model below its output layer."""
    return model.get_decoder() if hasattr(model, "get_decoder") else model.base_model


@torch.no_grad()
def check_output_path(model: Any, token_ids: list[int]) -> None:
    """Raise ConfigError unless trunk and output layer give the very logits that the whole model gives."""
    ids = torch.tensor([token_ids], device=model.device)
    whole = model(input_ids=ids, use_cache=False).logits.float()
    ours = head_logits(model, trunk_of(model)(input_ids=ids, use_cache=False).last_hidden_state)
    gap = float((whole - ours).abs().max())
    if gap > 1e-3:
        raise ConfigError(
            f"{type(model).__name__} changes its logits after the output layer (by up to {gap:.3g}); PPO does not know "
            "this family yet, use another policy model"
        )


@torch.no_grad()
def reference_logprobs(reference: Any, batch: TokenBatch, temperature: float) -> Tensor:
    """The frozen model's log-probabilities of the response tokens, (B, T)."""
    return token_logprobs(reference, last_hidden(reference, batch), batch, temperature)[0]


def load_causal(path: Path, device: torch.device) -> Any:
    """A causal language model in float32, with dropout off: PPO compares probabilities of the same tokens."""
    from transformers import AutoModelForCausalLM

    if not (path / "config.json").is_file():
        raise ConfigError(f"{path} is not a model folder: it has no config.json")
    model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    _turn_dropout_off(model)
    return model.to(device).eval()


def _turn_dropout_off(model: Any) -> None:
    for module in model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.0
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def freeze_lower_layers(model: Any, unfrozen: int | None) -> None:
    """Let only the top `unfrozen` blocks (and what lies above them) learn; None leaves everything trainable."""
    if unfrozen is None:
        return
    blocks = next((m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) > 0), None)
    if blocks is None or unfrozen > len(blocks):
        raise ConfigError(f"unfrozen_layers is {unfrozen}, but the policy has {len(blocks or [])} blocks")
    for part in (model.get_input_embeddings(), *list(blocks)[: len(blocks) - unfrozen]):
        part.requires_grad_(False)
