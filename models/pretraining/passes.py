"""One step of pre-training as passes through the model: rows shared out to ranks and cut into micro-batches.

The loss is a sum over real targets divided by the whole step's count of them, which every rank knows, since all lay out
the same batches. Gradients are added up over passes and ranks, so neither changes an update.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.pretraining.batches import IGNORED, Batch


def own_passes(batch: Batch, rank: int, world: int, most_tokens: int | None) -> list[Batch]:
    """This rank's share of a step's rows, in passes of at most `most_tokens` tokens, padding counted, or one row.

    Every rank has as many passes of as many rows: one that has a row less repeats the last, with nothing to learn in it.
    """
    rows, width = batch.inputs.shape
    each = -(-rows // world)
    size = each if most_tokens is None else min(each, max(1, most_tokens // width))
    if (world, size) == (1, rows):
        return [batch]
    own = [place * world + rank for place in range(each)]
    return [_rows(batch, own[start : start + size]) for start in range(0, each, size)]


def _rows(batch: Batch, places: list[int]) -> Batch:
    """The rows at `places`; a place behind the last is the last row without targets."""
    rows = len(batch.inputs)
    chosen = np.minimum(places, rows - 1)
    real = (np.array(places) < rows)[:, None]
    targets = np.where(real, batch.targets[chosen], IGNORED)
    return Batch(batch.inputs[chosen], targets, {name: marks[chosen] & real for name, marks in batch.watched.items()})


def target_count(batch: Batch, device: torch.device) -> Tensor:
    """Number of real targets of a whole step, an integer tensor ()."""
    return torch.tensor(int((batch.targets != IGNORED).sum()), device=device)


def pass_losses(
    model: Callable[..., Any], batch: Batch, targets: Tensor, device: torch.device
) -> tuple[Tensor, dict[str, float]]:
    """A pass's share of the step's mean loss, and sums and counts of the watched losses (see `Batch`).

    `targets` is the step's `target_count`.
    """
    logits = model(input_ids=torch.from_numpy(batch.inputs).to(device), use_cache=False).logits  # (B, T, V)
    wanted = torch.from_numpy(batch.targets).to(device).flatten()
    losses = functional.cross_entropy(logits.flatten(0, 1).float(), wanted, ignore_index=IGNORED, reduction="none")
    loss = losses.sum() / targets
    found = {"loss": float(loss.detach())}
    for name, marks in batch.watched.items():
        count = int(marks.sum())
        chosen = torch.from_numpy(marks).to(device).flatten()
        found[name] = float(losses.detach()[chosen].sum()) if count else 0.0
        found[f"{name}_count"] = float(count)
    return loss, found


def watched_mean(found: Mapping[str, float], name: str) -> float:
    """Mean of a watched loss over a step (nats), NaN when the step has none; in single precision, as losses are."""
    count = found[f"{name}_count"]
    return float(np.float32(found[name]) / np.float32(count)) if count else float("nan")
