"""Watching name copying form in a tiny model: nothing else of its world is learnt before (TINY_WORLD.md)."""

import math
from collections.abc import Sequence
from itertools import accumulate

WINDOW = 50  # steps over which the copying loss is averaged


def recent_loss(losses: Sequence[float]) -> float:
    """Mean name-copying loss (nats) of the last steps; infinite before any was measured."""
    recent = [loss for loss in losses[-WINDOW:] if math.isfinite(loss)]
    return sum(recent) / len(recent) if recent else math.inf


def has_formed(losses: Sequence[float], threshold: float) -> bool:
    """Whether the mean of any window fell below the threshold; it rises again where longer rows begin."""
    known = [loss for loss in losses if math.isfinite(loss)]
    sums = [0.0, *accumulate(known)]
    means = [(sums[end] - sums[end - WINDOW]) / WINDOW for end in range(WINDOW, len(sums))]
    return min([*means, recent_loss(losses)]) < threshold
