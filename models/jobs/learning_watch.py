"""Watching a tiny model learn its world: first to copy the name it is asked about, later the facts (TINY_WORLD.md)."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from models.tiny_world.vocabulary import ATTRIBUTE_VALUES

WINDOW = 50  # steps over which a watched loss is averaged


def recent_loss(losses: Sequence[float]) -> float:
    """Mean of a watched loss (nats) over the last steps; infinite before any was measured."""
    recent = [loss for loss in losses[-WINDOW:] if math.isfinite(loss)]
    return sum(recent) / len(recent) if recent else math.inf


def has_formed(losses: Sequence[float], threshold: float) -> bool:
    """Whether the mean of any window fell below the threshold; it rises again where longer rows begin."""
    known = [loss for loss in losses if math.isfinite(loss)]
    sums = [0.0, *accumulate(known)]
    means = [(sums[end] - sums[end - WINDOW]) / WINDOW for end in range(WINDOW, len(sums))]
    return min([*means, recent_loss(losses)]) < threshold


def fact_ids(tokenizer: Any) -> list[int]:
    """Tokens that are a whole value of an attribute: what a fact is stated by."""
    values = [value for values in ATTRIBUTE_VALUES.values() for value in values]
    encoded = tokenizer([f" {value}" for value in values], add_special_tokens=False)["input_ids"]
    return sorted(ids[0] for ids in encoded if len(ids) == 1)
