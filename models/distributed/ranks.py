"""Reinforcement learning on several processes: who samples and scores which rollouts, and how everybody learns of all.

Rollout i belongs to rank i mod N. What ranks find out about their own rollouts is small (tokens, scores, a few floats a
token), so all of it goes to all: every rank then holds the whole step and computes whitening, running means, KL control
and mini-batches exactly as a single process would. Only the passes through the models are shared out.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


class Ranks:
    """This process among the others; alone when no process group was set up."""

    def __init__(self) -> None:
        started = dist.is_available() and dist.is_initialized()
        self.rank, self.world = (dist.get_rank(), dist.get_world_size()) if started else (0, 1)
        # Small talk goes over the CPU, whatever the tensors' own transport is.
        self._group: Any = dist.new_group(backend="gloo") if self.world > 1 else None

    @property
    def is_first(self) -> bool:
        """Whether this rank writes the files."""
        return self.rank == 0

    def own(self, count: int) -> list[int]:
        """This rank's places among `count`, as many for every rank: a rank that has one less repeats the last place."""
        each = -(-count // self.world)
        return [min(place * self.world + self.rank, count - 1) for place in range(each)]

    def merge(self, found: Sequence[T], count: int) -> list[T]:
        """What all ranks found at their `own(count)` places, in the order of the places."""
        if self.world == 1:
            return list(found)
        everything: list[Any] = [None] * self.world
        dist.all_gather_object(everything, list(found), group=self._group)
        return [everything[place % self.world][place // self.world] for place in range(count)]

    def total(self, parts: Mapping[str, float]) -> dict[str, float]:
        """Sums over the ranks, name by name."""
        if self.world == 1:
            return dict(parts)
        everything: list[Any] = [None] * self.world
        dist.all_gather_object(everything, dict(parts), group=self._group)
        return {name: sum(each[name] for each in everything) for name in parts}

    def any(self, flag: bool) -> bool:
        """Whether any rank says yes; every rank must ask."""
        if self.world == 1:
            return flag
        found = torch.tensor([int(flag)])
        dist.all_reduce(found, op=dist.ReduceOp.MAX, group=self._group)
        return bool(found)

    def wait(self) -> None:
        """Go on when every rank is here."""
        if self.world > 1:
            dist.barrier(group=self._group)
