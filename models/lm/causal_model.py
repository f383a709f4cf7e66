"""A causal language model as training and scoring call it: trunk, output layer, log-probabilities of tokens.

Log-probabilities are those of the distribution that is sampled from: logits are divided by the temperature everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from data_contracts.errors import ConfigError
from models.lm.padding import positions_of


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

    @property
    def responses(self) -> Tensor:
        """The response tokens, (B, T)."""
        return self.ids[:, self.prompt_width :]

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
        return positions_of(self.attention)


class CausalModel(nn.Module):
    """Trunk and output layer behind one `forward`, through which every call goes, so that ZeRO-3 can gather its weights."""

    def __init__(self, model: Any, device: torch.device | None = None) -> None:
        """`device` computes; None: where the weights are (offloaded weights lie elsewhere)."""
        super().__init__()
        self.model = model
        self._device = device

    @property
    def device(self) -> torch.device:
        """Where inputs belong."""
        return self._device or self.model.device

    def forward(
        self,
        ids: Tensor,
        attention: Tensor,
        positions: Tensor,
        first: int = 0,
        cache: Any = None,
        wanted: Tensor | None = None,
        whole: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Hidden states (B, S - first, H) and float32 logits (B, S - first, V) from position `first` on.

        `cache` holds what was read before `ids` and takes them in; `attention` then covers both. Of the positions only
        those with `wanted` (B, S - first) are returned, as (N, H) and (N, V). With `whole` the logits are those that the
        model's own `forward` gives.
        """
        inputs = {"input_ids": ids, "attention_mask": attention, "position_ids": positions}
        if whole:
            out = self.model(**inputs, use_cache=False, output_hidden_states=True)
            return out.hidden_states[-1][:, first:], out.logits[:, first:].float()
        out = trunk_of(self.model)(**inputs, past_key_values=cache, use_cache=cache is not None)
        hidden = out.last_hidden_state[:, first:]
        if wanted is not None:
            hidden = hidden[wanted]
        return hidden, head_logits(self.model, hidden)


def response_logits(run: Callable[..., tuple[Tensor, Tensor]], batch: TokenBatch) -> tuple[Tensor, Tensor]:
    """Hidden states (B, T, H) and logits (B, T, V) at the positions that predict the T response tokens."""
    return run(batch.ids[:, :-1], batch.attention[:, :-1], batch.positions()[:, :-1], first=batch.prompt_width - 1)


def token_logprobs(
    logits: Tensor, tokens: Tensor, temperature: float, allowed: Tensor | None = None, entropy_gradient: bool = False
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the tokens (B, T) and entropies (B, T) of the distributions they are drawn from.

    These are softmax(logits / temperature), (B, T, V), cut to `allowed` if that is given.
    """
    scaled = logits / temperature
    if allowed is not None:
        scaled = scaled.masked_fill(~allowed, -torch.inf)
    everything = torch.log_softmax(scaled, dim=-1)
    with torch.set_grad_enabled(entropy_gradient and torch.is_grad_enabled()):
        terms = everything.exp() * everything
        if allowed is not None:
            terms = terms.masked_fill(~allowed, 0.0)
        entropy = -terms.sum(dim=-1)
    return everything.gather(-1, tokens.unsqueeze(-1)).squeeze(-1), entropy


def head_logits(model: Any, hidden: Tensor) -> Tensor:
    """Logits (..., V) in float32 of hidden states (..., H), with the soft cap that some families apply."""
    logits = model.get_output_embeddings()(hidden).float()
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    return logits if cap is None else cap * torch.tanh(logits / cap)


def trunk_of(model: Any) -> Any:
    """The part of a causal language model below its output layer."""
    return model.get_decoder() if hasattr(model, "get_decoder") else model.base_model


@torch.no_grad()
def check_output_path(core: CausalModel, token_ids: list[int]) -> None:
    """Raise ConfigError unless trunk and output layer give the very logits that the whole model gives."""
    device = core.device
    ids = torch.tensor([token_ids], device=device)
    inputs = (ids, torch.ones_like(ids), torch.arange(len(token_ids), device=device).unsqueeze(0))
    gap = float((core(*inputs, whole=True)[1] - core(*inputs)[1]).abs().max())
    if gap > 1e-3:
        raise ConfigError(
            f"{type(core.model).__name__} changes its logits after the output layer (by up to {gap:.3g}); "
            "training reads trunk and output layer alone, so use a model of another family"
        )


@torch.no_grad()
def reference_logprobs(
    reference: CausalModel, batch: TokenBatch, temperature: float, allowed: Tensor | None = None
) -> Tensor:
    """The frozen model's log-probabilities of the response tokens, (B, T)."""
    return token_logprobs(response_logits(reference, batch)[1], batch.responses, temperature, allowed)[0]
