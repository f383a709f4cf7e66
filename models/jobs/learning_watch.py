"""Watching a tiny model learn its world: first to copy the name it is asked about, later the facts (TINY_WORLD.md)."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from data_contracts.pretrain_spec import PretrainSpec
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


def what_has_not_formed(
    step: int, spec: PretrainSpec, steps: int, copy_losses: Sequence[float], recall_losses: Sequence[float]
) -> str | None:
    """What should have formed by this step of `steps` and has not, in words; None if all has, or nothing is due."""
    settings = spec.pretraining
    deadline = round(settings.formed_by_tokens / spec.tokens * steps)
    if settings.formed_by_tokens and step == deadline and not has_formed(copy_losses, settings.copy_threshold):
        missing, losses, threshold = "name copying", copy_losses, settings.copy_threshold
    elif settings.recall_threshold and step == steps and recent_loss(recall_losses) >= settings.recall_threshold:
        missing, losses, threshold = "recall of facts", recall_losses, settings.recall_threshold
    else:
        return None
    return f"{missing} has not formed by step {step} (loss {recent_loss(losses):.2f} nats, threshold {threshold})"


def fact_ids(tokenizer: Any) -> list[int]:
    """Tokens that are a whole value of an attribute: what a fact is stated by."""
    values = [value for values in ATTRIBUTE_VALUES.values() for value in values]
    encoded = tokenizer([f" {value}" for value in values], add_special_tokens=False)["input_ids"]
    return sorted(ids[0] for ids in encoded if len(ids) == 1)
