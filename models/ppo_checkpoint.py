"""Everything PPO needs to go on after SIGKILL as if nothing had happened.

A checkpoint folder holds policy and value head (safetensors), optimizer and random states (read back with
`weights_only`), and the loop's numbers as JSON. It is written under another name and renamed, its marker last.
The order of prompts and every random draw are functions of the seed, the step and the row, so there is nothing to save.
"""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from models.jobs.training_checkpoints import MARKER, last_complete
from models.ppo_policy import PolicyWithValue
from models.ppo_scoring import RunningMoments

PREFIX = "step-"


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


def save(folder: Path, state: LoopState, policy: PolicyWithValue, optimizer: torch.optim.Optimizer, keep: int) -> None:
    """Write the checkpoint of `state.step` and remove all but the newest `keep`."""
    from safetensors.torch import save_model

    final, temporary = folder / f"{PREFIX}{state.step}", folder / f".{PREFIX}{state.step}.tmp"
    for path in (final, temporary):
        shutil.rmtree(path, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_model(policy, str(temporary / "policy.safetensors"))
    torch.save({"optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}, temporary / "optimizer.pt")
    (temporary / "loop.json").write_text(json.dumps(asdict(state)))
    temporary.rename(final)
    (final / MARKER).touch()
    finished = sorted(folder.glob(f"{PREFIX}*"), key=lambda path: int(path.name.removeprefix(PREFIX)))
    for old in finished[:-keep]:
        shutil.rmtree(old)


def restore(folder: Path, policy: PolicyWithValue, optimizer: torch.optim.Optimizer) -> LoopState | None:
    """Load the newest complete checkpoint into policy and optimizer; None when there is none."""
    from safetensors.torch import load_model

    newest = last_complete(folder, PREFIX)
    if newest is None:
        return None
    load_model(policy, str(newest / "policy.safetensors"), device=str(policy.value_head.weight.device))
    saved = torch.load(newest / "optimizer.pt", weights_only=True)
    optimizer.load_state_dict(saved["optimizer"])
    torch.set_rng_state(saved["rng"])
    return _loop_state(json.loads((newest / "loop.json").read_text()))


def _loop_state(entry: dict[str, Any]) -> LoopState:
    entry["scores_seen"] = RunningMoments(**entry["scores_seen"])
    entry["history"] = [(step, metrics) for step, metrics in entry["history"]]
    return LoopState(**entry)
