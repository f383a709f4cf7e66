"""Train a reward model on the kept comparisons (ALMoST section 2.1), or on community answers: the as-is RM.

Loss -log sigmoid(r(x, y_j) - r(x, y_k)); a margin per rank and an ensemble of several seeds are options. The log of an
ensemble is its first member's, with the ensemble's figures at the last step.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_contracts.config.reward import RewardTraining
from data_contracts.config.training import TrainingSettings
from data_contracts.errors import EmptyResultError
from data_contracts.folder_contracts import Checkpoint
from data_contracts.handles import ModelHandle
from data_contracts.specs.combine_reward_models import EnsembleSpec
from data_contracts.specs.job_spec import JobManifest
from data_contracts.specs.train_reward_model import RewardSpec
from data_contracts.store.artifact import Artifact
from data_contracts.tables.community_answers import CommunityAnswer
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.preference_pairs import PreferencePair
from data_contracts.tables.reward_scores import RewardScore
from data_contracts.tables.training_log import TrainingLogEntry, training_log_rows
from models.seeding import derive_seed
from tasks.reward.preference_rows import kept_pairs, pair_row, with_splits
from tasks.runtime.context import count, current
from tasks.runtime.loaded_models import folder_of
from tasks.runtime.run_training_job import job_paths, output, run_training_job
from tasks.runtime.step import Outputs, step

JOB, COMBINE_JOB = "models.jobs.train_reward_model", "models.jobs.combine_reward_models"


class TrainedRewardModel(Outputs):
    """A reward model, what was logged while it learned, and its scores on the held-out pairs."""

    checkpoint: Artifact[Checkpoint]
    training_log: Artifact[TrainingLogEntry]
    scores: Artifact[RewardScore]


@step(version="4", jobs=(JOB, COMBINE_JOB))
def train_reward_model(
    comparisons: Artifact[Comparison],
    base: ModelHandle,
    likelihood_base: ModelHandle | None,
    reward: RewardTraining,
    training: TrainingSettings,
    seed: int,
) -> TrainedRewardModel:
    """Train the synthetic reward model on the comparisons every filter kept.

    `likelihood_base` is the frozen model of the likelihood feature, None where the profile does without.
    """
    return _train(kept_pairs(comparisons, reward.rank_margin), base, likelihood_base, reward, training, seed)


@step(version="3", jobs=(JOB, COMBINE_JOB))
def train_as_is_reward_model(
    answers: Artifact[CommunityAnswer],
    base: ModelHandle,
    pairs: int,
    reward: RewardTraining,
    training: TrainingSettings,
    seed: int,
) -> TrainedRewardModel:
    """Train the as-is reward model on at most `pairs` pairs of community answers, drawn by seed."""
    rows = read(CommunityAnswer, answers).to_pylist()
    order = np.random.default_rng(derive_seed(seed, "as-is pairs")).permutation(len(rows))[:pairs]
    chosen = [rows[position] for position in sorted(order)]
    usable = [r for r in chosen if r["chosen"].strip() and r["rejected"].strip() and r["chosen"] != r["rejected"]]
    if not usable:
        raise EmptyResultError(
            f"train_as_is_reward_model: none of {len(chosen)} community pairs has two different answers; "
            f"give other pairs (as_is.pairs_file) or set as_is.enabled=false"
        )
    count(pairs_left_out=len(chosen) - len(usable))
    named = [pair_row(r["pair_id"], r["pair_id"], r["question"], r["chosen"], r["rejected"]) for r in usable]
    return _train(named, base, None, reward, training, seed)


def _train(
    pairs: list[dict[str, Any]],
    base: ModelHandle,
    likelihood_base: ModelHandle | None,
    reward: RewardTraining,
    training: TrainingSettings,
    seed: int,
) -> TrainedRewardModel:
    paths = job_paths(current().step)
    pairs_file = paths["work_dir"] / "pairs.parquet"
    rows = with_splits(pairs, reward.heldout_share, seed)
    PreferencePair.write_part(PreferencePair.from_rows(rows), pairs_file)
    first = RewardSpec(
        **paths,
        **reward.model_dump(),
        seed=derive_seed(seed, current().step) % 2**31,
        base_model=folder_of(base),
        likelihood_base=folder_of(likelihood_base) if likelihood_base else None,
        pairs=(pairs_file,),
        training=training,
    )
    manifest = run_training_job(JOB, first, training)
    log = TrainingLogEntry.read_parts([output(first, manifest, "training_log")])
    if reward.ensemble == 1:
        return _outputs(output(first, manifest, "model"), log, output(first, manifest, "heldout_scores"))
    return _combine(first, manifest, log, seed)


def _combine(first: RewardSpec, trained: JobManifest, log: pa.Table, seed: int) -> TrainedRewardModel:
    """Train the other members of the ensemble, each from its own seed, and make one reward model of them all."""
    step, members = current().step, [output(first, trained, "model")]
    shared = {}
    if reads := trained.outputs.get("answer_likelihoods"):  # the first member's, for all
        shared["answer_likelihoods"] = first.output_dir / reads
    for number in range(1, first.ensemble):
        own = {"seed": derive_seed(seed, step, number) % 2**31, **job_paths(f"{step}-{number}"), **shared}
        spec = first.model_copy(update=own)
        members.append(output(spec, run_training_job(JOB, spec, spec.training), "model"))
    combination = EnsembleSpec(
        **job_paths(f"{step}-ensemble"),
        seed=first.seed,
        members=tuple(members),
        pairs=first.pairs,
        score=first.ensemble_score,
        micro_batch_size=first.micro_batch_size,
        training=first.training.model_copy(update={"processes": 1, "zero_stage": 0, "offload": False}),
    )
    manifest = run_training_job(COMBINE_JOB, combination, combination.training)
    figures = {name: value for name, value in manifest.metrics.items() if name.startswith("ensemble_")}
    last = max(log["step"].to_pylist())
    log = pa.concat_tables([log, TrainingLogEntry.from_rows(training_log_rows([(last, figures)]))])
    return _outputs(output(combination, manifest, "model"), log, output(combination, manifest, "heldout_scores"))


def _outputs(model: Path, log: pa.Table, scores: Path) -> TrainedRewardModel:
    return TrainedRewardModel(
        checkpoint=write_folder(Checkpoint, model),
        training_log=write(TrainingLogEntry, log),
        scores=write(RewardScore, RewardScore.read_parts([scores])),
    )
