"""Train a reward model on the kept comparisons (ALMoST section 2.1), or on community answers: the as-is RM.

Held-out pairs are split off by query, so that no query is on both sides. Loss -log sigmoid(r(x, y_j) - r(x, y_k)).
"""

from typing import Any

import numpy as np

from data_contracts.artifact import Artifact
from data_contracts.community_answers import CommunityAnswers
from data_contracts.comparisons import Comparisons
from data_contracts.conversation import Role, Turn, to_column
from data_contracts.errors import EmptyResultError
from data_contracts.folder_contracts import Checkpoint
from data_contracts.job_spec import TrainingSettings
from data_contracts.model_handle import ModelHandle
from data_contracts.preference_pairs import PreferencePairs
from data_contracts.reward_scores import RewardScores
from data_contracts.training_log import TrainingLog
from data_contracts.training_sections import RewardTraining
from data_contracts.training_specs import RewardSpec
from models.seeding import derive_seed
from tasks.loaded_models import folder_of
from tasks.run_training_job import job_paths, output, run_training_job
from tasks.step import Outputs, step
from tasks.step_context import count, current, read, write, write_folder

JOB = "models.jobs.train_reward_model"


class TrainedRewardModel(Outputs):
    """A reward model, what was logged while it learned, and its scores on the held-out pairs."""

    checkpoint: Artifact[Checkpoint]
    training_log: Artifact[TrainingLog]
    scores: Artifact[RewardScores]


@step(version="4", jobs=(JOB,))
def train_reward_model(
    comparisons: Artifact[Comparisons],
    base: ModelHandle,
    likelihood_base: ModelHandle | None,
    reward: RewardTraining,
    training: TrainingSettings,
    seed: int,
) -> TrainedRewardModel:
    """Train the synthetic reward model on the comparisons every filter kept.

    `likelihood_base` is the frozen model of the likelihood feature, None where the profile does without.
    """
    rows = [row for row in read(Comparisons, comparisons).to_pylist() if row["kept"]]
    if not rows:
        raise EmptyResultError("train_reward_model: no comparison was kept; loosen filter.* or as_is.*, or mine more")
    pairs = [_pair(row["comparison_id"], row["query_id"], row["query"], row["chosen"], row["rejected"]) for row in rows]
    return _train(pairs, base, likelihood_base, reward, training, seed)


@step(version="3", jobs=(JOB,))
def train_as_is_reward_model(
    answers: Artifact[CommunityAnswers],
    base: ModelHandle,
    pairs: int,
    reward: RewardTraining,
    training: TrainingSettings,
    seed: int,
) -> TrainedRewardModel:
    """Train the as-is reward model on at most `pairs` pairs of community answers, drawn by seed."""
    rows = read(CommunityAnswers, answers).to_pylist()
    order = np.random.default_rng(derive_seed(seed, "as-is pairs")).permutation(len(rows))[:pairs]
    chosen = [rows[position] for position in sorted(order)]
    usable = [r for r in chosen if r["chosen"].strip() and r["rejected"].strip() and r["chosen"] != r["rejected"]]
    if not usable:
        raise EmptyResultError(
            f"train_as_is_reward_model: none of {len(chosen)} community pairs has two different answers; "
            f"give other pairs (as_is.pairs_file) or set as_is.enabled=false"
        )
    count(pairs_left_out=len(chosen) - len(usable))
    named = [_pair(r["pair_id"], r["pair_id"], r["question"], r["chosen"], r["rejected"]) for r in usable]
    return _train(named, base, None, reward, training, seed)


def heldout_queries(query_ids: list[str], share: float, seed: int) -> set[str]:
    """The queries held out: the rounded share of the distinct ids, drawn by seed; at least one if the share is not 0."""
    distinct = sorted(set(query_ids))
    number = min(len(distinct) - 1, max(1, round(share * len(distinct)))) if share > 0 else 0
    order = np.random.default_rng(derive_seed(seed, "heldout")).permutation(len(distinct))
    return {distinct[position] for position in order[: max(0, number)]}


def _pair(pair_id: str, query_id: str, query: str, chosen: str, rejected: str) -> dict[str, Any]:
    return {
        "pair_id": pair_id,
        "query_id": query_id,
        "context": to_column([Turn(Role.HUMAN, query)]),
        "chosen": chosen,
        "rejected": rejected,
    }


def _train(
    pairs: list[dict[str, Any]],
    base: ModelHandle,
    likelihood_base: ModelHandle | None,
    reward: RewardTraining,
    training: TrainingSettings,
    seed: int,
) -> TrainedRewardModel:
    heldout = heldout_queries([pair["query_id"] for pair in pairs], reward.heldout_share, seed)
    rows = [pair | {"split": "heldout" if pair["query_id"] in heldout else "train"} for pair in pairs]
    paths = job_paths(current().step)
    pairs_file = paths["work_dir"] / "pairs.parquet"
    PreferencePairs.write_part(PreferencePairs.from_rows(rows), pairs_file)
    spec = RewardSpec(
        **paths,
        **reward.model_dump(),
        seed=derive_seed(seed, current().step) % 2**31,
        base_model=folder_of(base),
        likelihood_base=folder_of(likelihood_base) if likelihood_base else None,
        pairs=(pairs_file,),
        training=training,
    )
    manifest = run_training_job(JOB, spec, training)
    return TrainedRewardModel(
        checkpoint=write_folder(Checkpoint, output(spec, manifest, "model")),
        training_log=write(TrainingLog, TrainingLog.read_parts([output(spec, manifest, "training_log")])),
        scores=write(RewardScores, RewardScores.read_parts([output(spec, manifest, "heldout_scores")])),
    )
