"""Job: make one checkpoint of several reward models, and score the held-out pairs with it (`models/reward_ensemble.py`).

Each member's level is measured on both answers of the first training pairs. How far members disagree is told by the mean
standard deviation of their levelled scores of held-out answers, and by the share of pairs on which not all of them choose
the same answer.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.arrow import compute as pc
from data_contracts.preference_pairs import PreferencePairs
from data_contracts.reward_scores import RewardScores
from data_contracts.training_specs import EnsembleSpec
from models.deepspeed.config import on_cpu
from models.heldout_scores import conversations, pair_metrics, score_rows
from models.jobs.entry import enter_phase, run
from models.jobs.protocol import read_spec, report_progress, write_manifest
from models.reward_ensemble import MEMBERS_FOLDER, SETTINGS_FILE, Ensemble

if TYPE_CHECKING:
    from torch import Tensor

JOB = "models.jobs.combine_reward_models"
MODEL_NAME, SCORES_NAME = "model", "heldout_scores.parquet"
LEVEL_PAIRS = 256


def read_members(spec: EnsembleSpec, pairs: Sequence[dict[str, Any]]) -> "Tensor":
    """Every member's scores of the chosen, then the rejected answers: (members, 2 x pairs)."""
    import torch

    from models.reward_model import RewardModel

    rows = [*conversations(pairs, "chosen"), *conversations(pairs, "rejected")]
    found = []
    for number, folder in enumerate(spec.members, start=1):
        device = "cpu" if on_cpu(spec.training) else None
        found.append(RewardModel(folder, batch_size=2 * spec.micro_batch_size, device=device).score(rows))
        report_progress(number, len(spec.members), "reward models")
    return torch.tensor(found)


def disagreement(level: "Tensor") -> dict[str, float]:
    """Of scores (members, 2 x pairs), chosen answers first: mean spread, and share of pairs without one opinion."""
    chosen, rejected = level.chunk(2, dim=1)
    wins = (chosen > rejected).float().mean(dim=0)  # (pairs,)
    return {
        "ensemble_spread": float(level.std(dim=0, correction=0).mean()),
        "ensemble_split_pairs": float(((wins > 0) & (wins < 1)).float().mean()),
    }


def write_folder(spec: EnsembleSpec, ensemble: Ensemble) -> Path:
    """The combined checkpoint in `output_dir/model`."""
    folder = spec.output_dir / MODEL_NAME
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(spec.members[0], folder)
    for number, member in enumerate(spec.members[1:], start=1):
        shutil.copytree(member, folder / MEMBERS_FOLDER / str(number))
    (folder / SETTINGS_FILE).write_text(ensemble.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return folder


def main() -> None:
    """Write `model`, `heldout_scores` and the manifest."""
    spec = read_spec(EnsembleSpec)
    table = PreferencePairs.read_parts(spec.pairs)
    splits = {s: table.filter(pc.equal(pc.field("split"), s)).to_pylist() for s in ("train", "heldout")}
    training, heldout = splits["train"][:LEVEL_PAIRS], splits["heldout"]
    enter_phase("scoring pairs")
    scores = read_members(spec, [*training, *heldout])  # (members, 2 x pairs)
    chosen, rejected = scores.chunk(2, dim=1)
    shifts = (chosen[:, : len(training)].mean(dim=1) + rejected[:, : len(training)].mean(dim=1)) / 2
    ensemble = Ensemble(score=spec.score, shifts=tuple(shifts.tolist()))
    write_folder(spec, ensemble)
    sides = [side[:, len(training) :] for side in (chosen, rejected)]
    combined = [ensemble.combine(side).tolist() for side in sides]
    RewardScores.write_part(RewardScores.from_rows(score_rows(heldout, *combined)), spec.output_dir / SCORES_NAME)
    metrics = pair_metrics(*combined) | {"ensemble_members": float(len(spec.members))}
    if heldout:
        for number, (up, down) in enumerate(zip(*sides, strict=True), start=1):
            metrics[f"ensemble_accuracy_{number}"] = pair_metrics(up.tolist(), down.tolist())["heldout_accuracy"]
        metrics |= disagreement((scores - shifts.unsqueeze(1)).unflatten(1, (2, -1))[..., len(training) :].flatten(1))
    write_manifest(spec, JOB, {"model": MODEL_NAME, "heldout_scores": SCORES_NAME}, metrics)


if __name__ == "__main__":
    run(main)
