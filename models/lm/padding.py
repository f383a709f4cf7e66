"""Token rows of unequal length as one tensor: padded on the left to go on writing, on the right to be read whole.

Everything that reads rows pads them here: the engines' prompts, rollouts, the reward model and the likelihoods.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def pad_left(
    rows: Sequence[Sequence[int]], pad_id: int = 0, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """Token ids of B rows that all end in the last column, and their mask, 1 on real tokens: int64 (B, S) each.

    S is the longest row's length.
    """
    width = max(map(len, rows))
    ids = _int64([[pad_id] * (width - len(row)) + list(row) for row in rows], device)
    places, padding = torch.arange(width, device=device), _int64([width - len(row) for row in rows], device)
    return ids, (places[None, :] >= padding[:, None]).long()


def pad_right(
    rows: Sequence[Sequence[int]], pad_id: int = 0, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """Token ids of B rows that all begin in the first column, and their mask, 1 on real tokens: int64 (B, S) each.

    S is the longest row's length.
    """
    width = max(map(len, rows))
    ids = _int64([list(row) + [pad_id] * (width - len(row)) for row in rows], device)
    places, lengths = torch.arange(width, device=device), _int64([len(row) for row in rows], device)
    return ids, (places[None, :] < lengths[:, None]).long()


def positions_of(mask: Tensor) -> Tensor:
    """Position ids (B, S) that count real tokens only, from 0; `mask` (B, S) is 1 on real tokens."""
    return (mask.cumsum(dim=-1) - 1).clamp(min=0)


def _int64(numbers: list[list[int]] | list[int], device: torch.device | None) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int64, device=device)
