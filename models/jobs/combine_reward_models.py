"""Job: make one checkpoint of several reward models, and score the held-out pairs with it (`models/reward/ensemble.py`).

Each member's level is measured on both answers of the first training pairs. How far members disagree is told by the mean
standard deviation of their levelled scores of held-out answers, and by the share of pairs on which not all of them choose
the same answer.
"""

import shutil
from filecmp import cmp
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from data_contracts.errors import ConfigError
from data_contracts.specs.combine_reward_models import EnsembleSpec
from data_contracts.tables.reward_scores import PairSplit, RewardScore
from models.distributed.deepspeed_config import on_cpu
from models.processes.job_entry import enter_phase, run
from models.processes.job_protocol import read_spec, write_manifest
from models.reward.answer_likelihood import BASE_FOLDER
from models.reward.combination import RewardCombination
from models.reward.ensemble import MEMBERS_FOLDER, SETTINGS_FILE, Ensemble
from models.reward.heldout_scores import both_sides, pair_metrics, reward_scores
from models.reward.preference_pairs import pairs_of
from models.reward.reward_model import RewardModel

if TYPE_CHECKING:
    from torch import Tensor

JOB = "models.jobs.combine_reward_models"
MODEL_NAME, SCORES_NAME = "model", "heldout_scores.parquet"
LEVEL_PAIRS = 256


def disagreement(level: "Tensor") -> dict[str, float]:
    """Of scores (members, 2 x pairs), chosen answers first: mean spread, and share of pairs without one opinion."""
    chosen, rejected = level.chunk(2, dim=1)
    wins = (chosen > rejected).float().mean(dim=0)  # (pairs,)
    return {
        "ensemble_spread": float(level.std(dim=0, correction=0).mean()),
        "ensemble_split_pairs": float(((wins > 0) & (wins < 1)).float().mean()),
    }


def write_folder(spec: EnsembleSpec) -> Path:
    """The combined checkpoint in `output_dir/model`, its members not levelled yet; a likelihood's base is kept once."""
    folder = spec.output_dir / MODEL_NAME
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(spec.members[0], folder)
    for number, member in enumerate(spec.members[1:], start=1):
        _check_same_base(spec.members[0], member)
        shutil.copytree(member, folder / MEMBERS_FOLDER / str(number), ignore=shutil.ignore_patterns(BASE_FOLDER))
    write_settings(folder, Ensemble(score=spec.score, shifts=(0.0,) * len(spec.members)))
    return folder


def _check_same_base(first: Path, member: Path) -> None:
    """Raise ConfigError unless both have the same likelihood base, or none: an answer is read once for all members."""
    bases = [folder / BASE_FOLDER for folder in (first, member)]
    names = [{file.name for file in base.glob("*.safetensors")} for base in bases]
    if names[0] != names[1] or any(not cmp(bases[0] / name, bases[1] / name, shallow=False) for name in names[0]):
        raise ConfigError(f"{member} has another likelihood base than {first}; an ensemble has one (models.likelihood)")


def write_settings(folder: Path, ensemble: Ensemble) -> None:
    """Say in the folder what its members' levels are and how their scores become one."""
    (folder / SETTINGS_FILE).write_text(ensemble.model_dump_json(indent=1) + "\n", encoding="utf-8")


def member_figures(combination: RewardCombination, chosen: "Tensor", rejected: "Tensor") -> dict[str, float]:
    """Each member's pair accuracy from scores (members, pairs) of held-out answers, and what it learnt to make of the
    likelihood.
    """
    figures = {}
    for number, (up, down) in enumerate(zip(chosen.tolist(), rejected.tolist(), strict=True), start=1):
        figures[f"ensemble_accuracy_{number}"] = pair_metrics(up, down)["heldout_accuracy"]
    for number, weights in enumerate(combination.likelihood, start=1):
        figures[f"ensemble_likelihood_weight_{number}"] = weights.weight
    return figures


def main() -> None:
    """Write `model`, `heldout_scores` and the manifest."""
    import torch

    spec = read_spec(EnsembleSpec)
    training = list(islice(pairs_of(PairSplit.TRAIN, spec.pairs), LEVEL_PAIRS))
    heldout = list(pairs_of(PairSplit.HELDOUT, spec.pairs))
    enter_phase("scoring pairs")
    folder = write_folder(spec)
    model = RewardModel(folder, batch_size=2 * spec.micro_batch_size, device="cpu" if on_cpu(spec.training) else None)
    sides = both_sides([*training, *heldout])
    scores = torch.tensor(model.member_scores(sides)).unflatten(1, (2, -1))  # (members, 2, pairs)
    shifts = scores[..., : len(training)].mean(dim=2).mean(dim=1)
    ensemble = Ensemble(score=spec.score, shifts=tuple(shifts.tolist()))
    write_settings(folder, ensemble)
    asked = scores[..., len(training) :]
    combined = [ensemble.combine(side).tolist() for side in asked.unbind(dim=1)]
    RewardScore.write_file(reward_scores(heldout, *combined), spec.output_dir / SCORES_NAME)
    metrics = pair_metrics(*combined) | {"ensemble_members": float(len(spec.members))}
    if heldout:
        metrics |= member_figures(model.combination, *asked.unbind(dim=1))
        metrics |= disagreement((asked - shifts.view(-1, 1, 1)).flatten(1))
    write_manifest(spec, JOB, {"model": MODEL_NAME, "heldout_scores": SCORES_NAME}, metrics)


if __name__ == "__main__":
    run(main)
