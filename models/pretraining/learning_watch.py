"""Watching a tiny model learn its world: to copy the name it is asked about, later the facts, and last, often all at once,
to state the things asked for in their order."""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from data_contracts.specs.pretrain import PretrainSpec
from models.tiny_world.vocabulary import ATTRIBUTE_VALUES, ATTRIBUTES

WINDOW = 50  # steps over which a watched loss is averaged
CALLED = {"copy": "name copying", "recall": "recall of facts", "order": "order of the things asked"}


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
    step: int, spec: PretrainSpec, steps: int, watched: Mapping[str, Sequence[float]]
) -> str | None:
    """What should have formed by this step of `steps` and has not, in words; None if all has, or nothing is due."""
    settings, most = spec.pretraining, spec.thresholds
    missing: list[str] = []
    if settings.formed_by_tokens and step == round(settings.formed_by_tokens / spec.tokens * steps):
        missing = [] if has_formed(watched["copy"], most["copy"]) else ["copy"]
    elif step == steps:
        missing = [name for name in ("recall", "order") if most[name] and recent_loss(watched[name]) >= most[name]]
    found = [
        f"{CALLED[name]} has not formed by step {step} (loss {recent_loss(watched[name]):.2f} nats, threshold {most[name]})"
        for name in missing
    ]
    return "; ".join(found) or None


def fact_ids(tokenizer: Any) -> list[int]:
    """Tokens that are a whole value of an attribute: what a fact is stated by."""
    return _whole_words(tokenizer, [value for values in ATTRIBUTE_VALUES.values() for value in values])


def attribute_ids(tokenizer: Any) -> list[int]:
    """Tokens that are a whole attribute: what a question asks for."""
    return _whole_words(tokenizer, list(ATTRIBUTES))


def _whole_words(tokenizer: Any, words: list[str]) -> list[int]:
    encoded = tokenizer([f" {word}" for word in words], add_special_tokens=False)["input_ids"]
    return sorted(ids[0] for ids in encoded if len(ids) == 1)
