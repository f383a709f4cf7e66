"""Which rows make up which update: one seeded stream of rows, cut into global batches of equal size.

The stream runs through the epochs without a seam, so no epoch ends in a short batch, and every rank of every layout gets
its share of the same batch: plain, DDP and ZeRO runs see the same rows in the same update. Inside a batch rows of like
length come together: the micro-batches need less padding, and the update is the same sum.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_contracts.errors import ConfigError
from models.lm.length_buckets import by_length


def stream_order(rows: int, epochs: float, batch_size: int, seed: int) -> np.ndarray:
    """Row numbers in training order, a multiple of `batch_size` long.

    Each epoch is a permutation of its own; the last batch is filled up from where the stream would go on.
    """
    return endless_order(rows, math.ceil(round(rows * epochs) / batch_size) * batch_size, seed)


def endless_order(rows: int, wanted: int, seed: int) -> np.ndarray:
    """The first `wanted` row numbers of a stream of seeded permutations of `rows` rows."""
    passes = math.ceil(wanted / rows)
    stream = [np.random.default_rng([seed, epoch]).permutation(rows) for epoch in range(passes)]
    return np.concatenate(stream)[:wanted]


def bucket_by_length(order: np.ndarray, lengths: Sequence[int], batch_size: int) -> np.ndarray:
    """The same batches of `batch_size` rows, each sorted by its rows' lengths; equal lengths keep their order."""
    batches = order.reshape(-1, batch_size)
    return np.concatenate([batch[by_length([lengths[row] for row in batch])] for batch in batches])


@dataclass(frozen=True)
class BatchLayout:
    """How a global batch is cut: `micro` rows per forward pass and rank, `accumulation` passes per update."""

    micro: int
    accumulation: int


def batch_layout(batch_size: int, micro_limit: int, processes: int) -> BatchLayout:
    """The largest micro-batch up to `micro_limit` that divides a rank's share of the batch.

    Raises:
        ConfigError: the batch cannot be shared equally among the processes.
    """
    if batch_size % processes:
        raise ConfigError(f"batch_size {batch_size} is not a multiple of training.processes {processes}")
    share = batch_size // processes
    micro = max(size for size in range(1, min(micro_limit, share) + 1) if share % size == 0)
    return BatchLayout(micro, share // micro)
