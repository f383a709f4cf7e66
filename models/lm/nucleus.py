"""The nucleus: the smallest set of likeliest tokens whose mass reaches top-p, with all tokens that tie with the last.

Sorting would pick some of the tied tokens by accident. Reinforcement learning compares log-probabilities of the cut and
renormalised distribution: the set is fixed when a response is sampled and kept for all later passes (policy, reference,
every epoch), since a policy that moved would choose another set, in which the sampled token may have no probability.
"""

import torch
from torch import Tensor


def nucleus_floor(descending: Tensor, probabilities: Tensor, top_p: float) -> Tensor:
    """The least likely token's value in the nucleus, (..., 1).

    `probabilities` (..., K) are those of the K likeliest tokens, the likeliest first, and `descending` (..., K) the
    values that tokens are compared by, in the same order: the probabilities themselves or their logarithms. Where the K
    tokens do not reach `top_p`, the floor is the last one's value.
    """
    reached_at = (probabilities.cumsum(dim=-1) < top_p).sum(dim=-1, keepdim=True)  # the token that reaches top_p
    return descending.gather(-1, reached_at.clamp(max=descending.shape[-1] - 1))


def nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Which tokens are in the nucleus of softmax(logits) (..., V): bool (..., V)."""
    probabilities = torch.softmax(logits.float(), dim=-1)
    ordered = probabilities.sort(dim=-1, descending=True).values
    return probabilities >= nucleus_floor(ordered, ordered, top_p)


def pack(allowed: Tensor) -> Tensor:
    """Bool (..., V) as bits: uint8 (..., ceil(V / 8)), zeros behind the end."""
    width = allowed.shape[-1]
    padded = torch.nn.functional.pad(allowed, (0, -width % 8)).unflatten(-1, (-1, 8))
    weights = 2 ** torch.arange(8, dtype=torch.uint8, device=allowed.device)
    return (padded * weights).sum(dim=-1, dtype=torch.uint8)


def unpack(bits: Tensor, width: int) -> Tensor:
    """The bool (..., width) that `pack` was given."""
    shifts = torch.arange(8, dtype=torch.uint8, device=bits.device)
    return (bits.unsqueeze(-1) >> shifts & 1).flatten(-2)[..., :width].bool()
