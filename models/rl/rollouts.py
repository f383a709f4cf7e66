"""Sampling of rollouts from the policy as it stands (ALMoST section 2.3).

One uniform number per row and position, drawn from the seed, the step and the row, decides each token
(`models/lm/sampling.py`): what a row draws does not depend on its neighbours. Only the end token stops a response, and it
is kept and scored like any other token; a response cut at the limit has none.

Departure: trlX samples through the library's `generate`; this loop shares its output path with the losses instead, so
sampled and trained distribution are the same by construction (temperature and nucleus included; no top-k).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from models.lm.causal_model import CausalModel, TokenBatch
from models.lm.length_buckets import batches_by_length
from models.lm.nucleus import pack
from models.lm.padding import pad_left, pad_right, positions_of
from models.lm.sampling import draw_by_uniforms


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
    core: CausalModel, prompts: Sequence[Sequence[int]], draws: np.ndarray, sampling: Sampling
) -> list[Response]:
    """Sample one response per prompt; `draws` (B, T) are uniforms and T is the longest response."""
    responses = [Response() for _ in prompts]
    for chosen in batches_by_length([len(prompt) for prompt in prompts], sampling.batch_size):
        _sample_batch(core, [prompts[i] for i in chosen], draws[chosen], sampling, [responses[i] for i in chosen])
    return responses


def _sample_batch(
    core: CausalModel, prompts: list[Sequence[int]], draws: np.ndarray, sampling: Sampling, responses: list[Response]
) -> None:
    from transformers import DynamicCache

    device = core.device
    ids, attention = pad_left(prompts, sampling.pad_id, device)
    positions = positions_of(attention)
    numbers = torch.from_numpy(draws).to(device)
    active = list(range(len(prompts)))  # row number in `prompts` of each row still in the batch
    cache = DynamicCache(config=core.model.config)
    for t in range(draws.shape[1]):
        _, logits = core(ids, attention, positions, first=ids.shape[1] - 1, cache=cache)  # (b, 1, V)
        tokens = _draw(logits[:, 0], numbers[:, t], active, responses, sampling)
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
    tokens, allowed = draw_by_uniforms(logits, numbers, sampling.temperature, sampling.top_p)
    bits = None if allowed is None else pack(allowed).cpu()
    for k, (row, token) in enumerate(zip(active, tokens.tolist(), strict=True)):
        response = responses[row]
        if not response.tokens or response.tokens[-1] != sampling.end_id:
            response.tokens.append(token)
            if bits is not None:
                response.nuclei.append(bits[k])
    return tokens


def to_batch(prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], pad_id: int) -> TokenBatch:
    """Prompts padded on the left and responses on the right, side by side."""
    prompt_ids, prompt_mask = pad_left(prompts, pad_id)
    ids, mask = pad_right(responses, pad_id)
    return TokenBatch(torch.cat([prompt_ids, ids], dim=1), torch.cat([prompt_mask, mask], dim=1), mask)
