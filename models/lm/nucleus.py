"""Sampling from a nucleus, and log-probabilities of exactly what was sampled from (top-p below 1).

A response's tokens are drawn from the smallest set of likeliest tokens whose mass reaches top-p. The log-probabilities
that PPO compares must be those of the cut and renormalised distribution. The set is fixed when the response is sampled
and kept for all later passes (policy, reference, every epoch): a policy that moved would choose another set, in which
the sampled token may have no probability at all.
"""

import torch
from torch import Tensor


def nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Which tokens are in the nucleus of softmax(logits) (..., V): bool (..., V).

    The token that reaches `top_p` belongs to it, and so do all that tie with it.
    """
    probabilities = torch.softmax(logits.float(), dim=-1)
    ordered = probabilities.sort(dim=-1, descending=True).values
    reached_at = (ordered.cumsum(dim=-1) < top_p).sum(dim=-1, keepdim=True)
    return probabilities >= ordered.gather(-1, reached_at.clamp(max=logits.shape[-1] - 1))


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
