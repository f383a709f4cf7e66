"""Everything the loop needs to go on after SIGKILL as if nothing had happened.

A checkpoint folder holds the policy and its optimizer as their engine writes them, the value head (if there is one) with
its optimizer (read back with `weights_only`), and the loop's numbers as JSON. It is written under another name and renamed, its marker
last. The order of prompts and every random draw are functions of the seed, the step and the row, so there is nothing to
save of them.
"""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from models.distributed.ranks import Ranks
from models.rl.scoring import RunningMoments
from models.rl.update import Updater
from models.training.checkpoints import MARKER, forget_old, last_complete

PREFIX = "step-"
HEAD_NAME, LOOP_NAME = "value_head.pt", "loop.json"


@dataclass
class LoopState:
    """The loop's own numbers after `step` finished steps."""

    step: int = 0
    update: int = 0
    kl_coefficient: float = 0.0
    scores_seen: RunningMoments = field(default_factory=RunningMoments)
    best_step: int | None = None
    best_objective: float | None = None
    history: list[tuple[int, dict[str, float]]] = field(default_factory=list)


def save(folder: Path, state: LoopState, updater: Updater, ranks: Ranks, keep: int) -> None:
    """Write the checkpoint of `state.step` and remove all but the newest `keep`; all ranks take part."""
    final, temporary = folder / f"{PREFIX}{state.step}", folder / f".{PREFIX}{state.step}.tmp"
    if ranks.is_first:
        for path in (final, temporary):
            shutil.rmtree(path, ignore_errors=True)
        temporary.mkdir(parents=True)
    ranks.wait()
    updater.engine.save(temporary)
    ranks.wait()
    if ranks.is_first:
        if updater.head is not None:
            torch.save(updater.head.state() | {"rng": torch.get_rng_state()}, temporary / HEAD_NAME)
        (temporary / LOOP_NAME).write_text(json.dumps(asdict(state)))
        temporary.rename(final)
        (final / MARKER).touch()
        forget_old(folder, keep, PREFIX)
    ranks.wait()


def restore(folder: Path, updater: Updater) -> LoopState | None:
    """Load the newest complete checkpoint into policy, value head and optimizers; None when there is none."""
    newest = last_complete(folder, PREFIX)
    if newest is None:
        return None
    updater.engine.load(newest)
    if updater.head is not None:
        saved = torch.load(newest / HEAD_NAME, weights_only=True)
        updater.head.load(saved)
        torch.set_rng_state(saved["rng"])
    state = _loop_state(json.loads((newest / LOOP_NAME).read_text()))
    updater.update = state.update
    return state


def _loop_state(entry: dict[str, Any]) -> LoopState:
    entry["scores_seen"] = RunningMoments(**entry["scores_seen"])
    entry["history"] = [(step, metrics) for step, metrics in entry["history"]]
    return LoopState(**entry)
