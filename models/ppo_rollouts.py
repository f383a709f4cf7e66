"""Sampling of PPO's rollouts from the policy as it stands (ALMoST section 2.3).

One uniform number per row and position, drawn from the seed, the step and the row, decides each token by inverting the
cumulative distribution: what a row draws does not depend on its neighbours. Only the end token stops a response, and it
is kept and scored like any other token; a response cut at the limit has none.

Departure: trlX samples through the library's `generate`; this loop shares its output path with the losses instead, so
sampled and trained distribution are the same by construction (temperature included; no top-k or top-p).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.ppo_policy import TokenBatch, head_logits, trunk_of


def uniforms(key: Sequence[int], rows: Sequence[int], width: int) -> np.ndarray:
    """Uniform numbers (len(rows), width), each row from its own generator seeded by `key` and the row's number."""
    return np.stack([np.random.default_rng([*key, row]).random(width) for row in rows])


@torch.no_grad()
def sample_responses(
    model: Any,
    prompts: Sequence[Sequence[int]],
    draws: np.ndarray,
    *,
    end_id: int,
    pad_id: int,
    temperature: float,
    batch_size: int,
) -> list[list[int]]:
    """Sample one response per prompt; `draws` (B, T) are uniforms and T is the longest response.

    Returns token ids of each response, with the end token when it was sampled.
    """
    responses: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        rows = [prompts[i] for i in chosen]
        for i, response in zip(
            chosen, _sample_batch(model, rows, draws[chosen], end_id, pad_id, temperature), strict=True
        ):
            responses[i] = response
    return responses


def _sample_batch(
    model: Any, prompts: Sequence[Sequence[int]], draws: np.ndarray, end_id: int, pad_id: int, temperature: float
) -> list[list[int]]:
    from transformers import DynamicCache

    device = model.device
    ids, attention = left_pad(prompts, pad_id)
    ids, attention = ids.to(device), attention.to(device)
    positions = (attention.cumsum(dim=1) - 1).clamp(min=0)
    numbers = torch.from_numpy(draws).to(device)
    responses: list[list[int]] = [[] for _ in prompts]
    active = list(range(len(prompts)))  # row number in `prompts` of each row still in the batch
    cache = DynamicCache(config=model.config)
    for t in range(draws.shape[1]):
        out = trunk_of(model)(
            input_ids=ids, attention_mask=attention, position_ids=positions, past_key_values=cache, use_cache=True
        )
        logits = head_logits(model, out.last_hidden_state[:, -1])  # (b, V)
        tokens = choose_tokens(logits / temperature, numbers[:, t])  # (b,)
        for row, token in zip(active, tokens.tolist(), strict=True):
            if not responses[row] or responses[row][-1] != end_id:
                responses[row].append(token)
        going = [k for k, row in enumerate(active) if responses[row][-1] != end_id]
        if not going:
            break
        ids, positions = tokens.unsqueeze(1), positions[:, -1:] + 1
        attention = torch.cat([attention, torch.ones_like(ids)], dim=1)
        if 2 * len(going) <= len(active):  # half are done: go on with the others only
            keep = torch.tensor(going, device=device)
            active = [active[k] for k in going]
            ids, positions, attention, numbers = ids[keep], positions[keep], attention[keep], numbers[keep]
            cache.batch_select_indices(keep)
    return responses


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
