"""Sampling of PPO's rollouts from the policy as it stands (ALMoST section 2.3).

One uniform number per row and position, drawn from the seed, the step and the row, decides each token by inverting the
cumulative distribution: what a row draws does not depend on its neighbours. Only the end token stops a response, and it
is kept and scored like any other token; a response cut at the limit has none.

Departure: trlX samples through the library's `generate`; this loop shares its output path with the losses instead, so
sampled and trained distribution are the same by construction (temperature and nucleus included; no top-k).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from models.lm.causal_model import PolicyCore, TokenBatch
from models.lm.nucleus import nucleus, pack


@dataclass(frozen=True)
class Sampling:
    """How responses are drawn. `go_on` says whether anybody still samples, given whether we do.

    Under ZeRO-3 every rank must run every forward pass of every other: `go_on` then asks them all.
    """

    end_id: int
    pad_id: int
    temperature: float
    batch_size: int
    top_p: float = 1.0
    go_on: Callable[[bool], bool] = bool


@dataclass
class Response:
    """One sampled response: its tokens, the end token too if it was drawn, and the packed nucleus of each token."""

    tokens: list[int] = field(default_factory=list)
    nuclei: list[Tensor] = field(default_factory=list)  # uint8 (ceil(V / 8),) each; empty when top-p is 1


def uniforms(key: Sequence[int], rows: Sequence[int], width: int) -> np.ndarray:
    """Uniform numbers (len(rows), width), each row from its own generator seeded by `key` and the row's number."""
    return np.stack([np.random.default_rng([*key, row]).random(width) for row in rows])


@torch.no_grad()
def sample_responses(
    core: PolicyCore, prompts: Sequence[Sequence[int]], draws: np.ndarray, sampling: Sampling
) -> list[Response]:
    """Sample one response per prompt; `draws` (B, T) are uniforms and T is the longest response."""
    responses = [Response() for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    for start in range(0, len(order), sampling.batch_size):
        chosen = order[start : start + sampling.batch_size]
        _sample_batch(core, [prompts[i] for i in chosen], draws[chosen], sampling, [responses[i] for i in chosen])
    return responses


def _sample_batch(
    core: PolicyCore, prompts: list[Sequence[int]], draws: np.ndarray, sampling: Sampling, responses: list[Response]
) -> None:
    from transformers import DynamicCache

    device = core.device
    ids, attention = left_pad(prompts, sampling.pad_id)
    ids, attention = ids.to(device), attention.to(device)
    positions = (attention.cumsum(dim=1) - 1).clamp(min=0)
    numbers = torch.from_numpy(draws).to(device)
    active = list(range(len(prompts)))  # row number in `prompts` of each row still in the batch
    cache = DynamicCache(config=core.model.config)
    for t in range(draws.shape[1]):
        _, logits = core(ids, attention, positions, first=ids.shape[1] - 1, cache=cache)  # (b, 1, V)
        tokens = _draw(logits[:, 0] / sampling.temperature, numbers[:, t], active, responses, sampling)
        going = [k for k, row in enumerate(active) if responses[row].tokens[-1] != sampling.end_id]
        if not sampling.go_on(bool(going)):
            return
        ids, positions = tokens.unsqueeze(1), positions[:, -1:] + 1
        attention = torch.cat([attention, torch.ones_like(ids)], dim=1)
        if 2 * len(going) <= len(active):  # half are done: go on with the others only (one is kept for company)
            going = going or [0]
            keep = torch.tensor(going, device=device)
            active = [active[k] for k in going]
            ids, positions, attention, numbers = ids[keep], positions[keep], attention[keep], numbers[keep]
            cache.batch_select_indices(keep)


def _draw(logits: Tensor, numbers: Tensor, active: list[int], responses: list[Response], sampling: Sampling) -> Tensor:
    """Draw a token per active row, (b,), and note it where the row still goes on."""
    bits: Tensor | None = None
    if sampling.top_p < 1:
        allowed = nucleus(logits, sampling.top_p)
        logits = logits.masked_fill(~allowed, -torch.inf)
        bits = pack(allowed).cpu()
    tokens = choose_tokens(logits, numbers)
    for k, (row, token) in enumerate(zip(active, tokens.tolist(), strict=True)):
        response = responses[row]
        if not response.tokens or response.tokens[-1] != sampling.end_id:
            response.tokens.append(token)
            if bits is not None:
                response.nuclei.append(bits[k])
    return tokens


def choose_tokens(logits: Tensor, numbers: Tensor) -> Tensor:
    """Invert the cumulative distribution of softmax(logits) (b, V) at uniform `numbers` (b,) -> token ids (b,)."""
    cumulative = torch.softmax(logits, dim=-1).double().cumsum(dim=-1)
    targets = (numbers * cumulative[:, -1]).unsqueeze(1)
    # right=True: the first entry above the target, so a token of probability zero is never chosen.
    return torch.searchsorted(cumulative, targets, right=True).squeeze(1).clamp(max=logits.shape[-1] - 1)


def left_pad(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Token ids and attention (B, longest), padded on the left."""
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    attention = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, width - len(row) :] = torch.tensor(row)
        attention[i, width - len(row) :] = 1
    return ids, attention


def to_batch(prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], pad_id: int) -> TokenBatch:
    """Prompts padded on the left and responses on the right, side by side."""
    prompt_ids, prompt_attention = left_pad(prompts, pad_id)
    width = max(len(row) for row in responses)
    ids = torch.full((len(responses), width), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(responses):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return TokenBatch(torch.cat([prompt_ids, ids], dim=1), torch.cat([prompt_attention, mask], dim=1), mask)
