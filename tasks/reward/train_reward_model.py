"""Train a reward model on the kept comparisons (ALMoST section 2.1), or on community answers: the as-is RM.

Loss -log sigmoid(r(x, y_j) - r(x, y_k)); a margin per rank and an ensemble of several seeds are options. The log of an
ensemble is its first member's, with the ensemble's figures at the last step.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from data_contracts.config.reward import RewardTraining
from data_contracts.config.training import TrainingSettings
from data_contracts.errors import EmptyResultError
from data_contracts.folder_contracts import RewardCheckpoint
from data_contracts.handles import ModelHandle
from data_contracts.rows.rows import Rows, file_rows, rows_of
from data_contracts.specs.combine_reward_models import EnsembleSpec
from data_contracts.specs.train_reward_model import RewardSpec
from data_contracts.store.stored import Folder
from data_contracts.tables.community_answers import CommunityAnswer
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.preference_pairs import PreferencePair
from data_contracts.tables.reward_scores import RewardScore
from data_contracts.tables.training_log import TrainingLogEntry, training_log_entries
from models.reward.preference_pairs import pairs_of_community_answers, pairs_of_comparisons
from models.seeding import derive_seed
from tasks.runtime.context import count
from tasks.runtime.loaded_models import folder_of
from tasks.runtime.phases import Phase
from tasks.runtime.run_training_job import FinishedJob, run_training_job
from tasks.runtime.step import Outputs, step

JOB, COMBINE_JOB = "models.jobs.train_reward_model", "models.jobs.combine_reward_models"
LIKELIHOODS = "answer_likelihoods"


class TrainedRewardModel(Outputs):
    """A reward model, what was logged while it learned, and its scores on the held-out pairs."""

    checkpoint: Folder[RewardCheckpoint]
    training_log: Rows[TrainingLogEntry]
    scores: Rows[RewardScore]


@step(version="5", phase=Phase.REWARD_MODEL, heavy=True, jobs=(JOB, COMBINE_JOB))
def train_reward_model(
    *,
    comparisons: Rows[Comparison],
    base: ModelHandle,
    likelihood_base: ModelHandle | None,
    reward: RewardTraining,
    training: TrainingSettings,
    seed: int,
) -> TrainedRewardModel:
    """Train the synthetic reward model on the comparisons every filter kept.

    `likelihood_base` is the frozen model of the likelihood feature, None where the profile does without.
    """
    pairs = pairs_of_comparisons(
        comparisons, heldout_share=reward.heldout_share, seed=seed, rank_margin=reward.rank_margin
    )
    return _train("train_reward_model", pairs, base, likelihood_base, reward, training, seed)


@step(version="4", phase=Phase.COMPARISONS, heavy=True, jobs=(JOB, COMBINE_JOB))
def train_as_is_reward_model(
    *,
    answers: Rows[CommunityAnswer],
    base: ModelHandle,
    pairs: int,
    reward: RewardTraining,
    training: TrainingSettings,
    seed: int,
) -> TrainedRewardModel:
    """Train the as-is reward model on at most `pairs` pairs of community answers, drawn by seed.

    Raises:
        EmptyResultError: no pair that was drawn has two different answers.
    """
    drawn = drawn_answers(answers, pairs, seed)
    usable = [a for a in drawn if a.chosen.strip() and a.rejected.strip() and a.chosen != a.rejected]
    if not usable:
        raise EmptyResultError(
            f"train_as_is_reward_model: none of {len(drawn)} community pairs has two different answers; "
            f"give other pairs (as_is.pairs_file) or set as_is.enabled=false"
        )
    count(pairs_left_out=len(drawn) - len(usable))
    rows = pairs_of_community_answers(usable, heldout_share=reward.heldout_share, seed=seed)
    return _train("train_as_is_reward_model", rows, base, None, reward, training, seed)


def drawn_answers(answers: Rows[CommunityAnswer], number: int, seed: int) -> list[CommunityAnswer]:
    """At most `number` of the answers, drawn by seed, in their order."""
    order = np.random.default_rng(derive_seed(seed, "as-is pairs")).permutation(len(answers))
    chosen = set(order[:number].tolist())
    return [answer for place, answer in enumerate(answers) if place in chosen]


def _train(
    name: str,
    pairs: Rows[PreferencePair],
    base: ModelHandle,
    likelihood_base: ModelHandle | None,
    reward: RewardTraining,
    training: TrainingSettings,
    seed: int,
) -> TrainedRewardModel:
    """Train a reward model, or each member of an ensemble from its own seed and make one reward model of them all."""

    def member(*number: int, pairs: Rows[PreferencePair], **shared: Any) -> FinishedJob[RewardSpec]:
        return run_training_job(
            JOB,
            RewardSpec,
            name=(name, *number),
            seed=seed,
            training=training,
            pairs=pairs,
            base_model=folder_of(base),
            likelihood_base=folder_of(likelihood_base) if likelihood_base else None,
            **reward.model_dump(),
            **shared,
        )

    first = member(pairs=pairs)
    if reward.ensemble == 1:
        return _outputs(first, first.training_log)
    files = file_rows(PreferencePair, first.spec.pairs)  # written once, for all members
    shared = {LIKELIHOODS: first.path(LIKELIHOODS)} if LIKELIHOODS in first.manifest.outputs else {}
    members = [first, *(member(number, pairs=files, **shared) for number in range(1, reward.ensemble))]
    combination = run_training_job(
        COMBINE_JOB,
        EnsembleSpec,
        name=(name, "ensemble"),
        seed=seed,
        training=training.model_copy(update={"processes": 1, "zero_stage": 0, "offload": False}),
        members=tuple(job.path("model") for job in members),
        pairs=files,
        score=reward.ensemble_score,
        micro_batch_size=reward.micro_batch_size,
    )
    return _outputs(combination, with_ensemble_figures(first.training_log, combination.manifest.metrics))


def with_ensemble_figures(log: Iterable[TrainingLogEntry], metrics: dict[str, float]) -> Rows[TrainingLogEntry]:
    """A training log with what the ensemble's job measured at its last step."""
    entries = list(log)
    figures = {name: value for name, value in metrics.items() if name.startswith("ensemble_")}
    last = max(entry.step for entry in entries)
    return rows_of(TrainingLogEntry, [*entries, *training_log_entries([(last, figures)])])


def _outputs(job: FinishedJob[Any], log: Rows[TrainingLogEntry]) -> TrainedRewardModel:
    return TrainedRewardModel(
        checkpoint=job.checkpoint(RewardCheckpoint), training_log=log, scores=job.rows(RewardScore, "heldout_scores")
    )
