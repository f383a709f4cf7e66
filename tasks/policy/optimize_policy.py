"""Reinforcement learning from synthetic feedback: PPO, RLOO or GRPO from the SFT model (ALMoST section 2.3).

Prompts are those of the demonstrations, half seen in SFT and half not; when the halves differ in size, the larger one
is cut by seed.
"""

from collections.abc import Iterator

import numpy as np

from data_contracts.config.policy.settings import RewardAlgorithmSettings
from data_contracts.config.training import TrainingSettings
from data_contracts.config.world import GoldJudgeSource
from data_contracts.errors import EmptyResultError
from data_contracts.folder_contracts import LastPolicyCheckpoint, PolicyCheckpoint, RewardCheckpoint
from data_contracts.rows.rows import Rows, stream
from data_contracts.specs.optimize_policy import POLICY_SPECS, RewardModelSource
from data_contracts.store.stored import Folder
from data_contracts.tables.demonstrations import Demonstration, QuerySplit
from data_contracts.tables.policy_prompts import PolicyPrompt
from data_contracts.tables.rollouts import Rollout
from data_contracts.tables.training_log import TrainingLogEntry
from models.seeding import derive_seed
from tasks.runtime.phases import Phase
from tasks.runtime.run_training_job import run_training_job
from tasks.runtime.step import Outputs, step

JOB = "models.jobs.optimize_policy"


class OptimizedPolicy(Outputs):
    """The kept model, that of the last step, everything that was sampled, and the training log."""

    checkpoint: Folder[PolicyCheckpoint]
    last_checkpoint: Folder[LastPolicyCheckpoint]
    rollouts: Rows[Rollout]
    training_log: Rows[TrainingLogEntry]


@step(version="6", phase=Phase.POLICY, heavy=True, jobs=(JOB,))
def optimize_policy(
    *,
    demonstrations: Rows[Demonstration],
    policy: Folder[PolicyCheckpoint],
    reward_model: Folder[RewardCheckpoint],
    optimization: RewardAlgorithmSettings,
    training: TrainingSettings,
    seed: int,
    other_scorer: GoldJudgeSource | None = None,
) -> OptimizedPolicy:
    """Optimise the SFT policy against the reward model, or against another scorer in its place."""
    job = run_training_job(
        JOB,
        POLICY_SPECS[optimization.algorithm],
        name=("optimize_policy",),
        seed=seed,
        training=training,
        prompts=balanced_prompts(demonstrations, seed),
        policy=policy.local(),
        scorer=other_scorer or RewardModelSource(folder=reward_model.local()),
        **optimization.model_dump(),
    )
    return OptimizedPolicy(
        checkpoint=job.checkpoint(PolicyCheckpoint),
        last_checkpoint=job.checkpoint(LastPolicyCheckpoint, "last_model"),
        rollouts=job.rows(Rollout, "rollouts"),
        training_log=job.training_log,
    )


def balanced_prompts(demonstrations: Rows[Demonstration], seed: int) -> Rows[PolicyPrompt]:
    """As many seen as unseen contexts, in the demonstrations' order.

    Raises:
        EmptyResultError: one of the halves is empty.
    """
    usable: dict[QuerySplit, list[str]] = {split: [] for split in QuerySplit}
    for demonstration in demonstrations:
        if demonstration.usable:
            usable[demonstration.split].append(demonstration.demonstration_id)
    number = min(len(ids) for ids in usable.values())
    if number == 0:
        sizes = {str(split): len(ids) for split, ids in usable.items()}
        raise EmptyResultError(f"optimize_policy: prompts per half are {sizes}; play more queries (self_play.queries)")
    chosen: set[str] = set()
    for split, ids in usable.items():
        drawn = np.random.default_rng(derive_seed(seed, "prompts", split)).permutation(len(ids))[:number]
        chosen |= {ids[place] for place in drawn}

    def prompts() -> Iterator[PolicyPrompt]:
        for demonstration in demonstrations:
            if demonstration.demonstration_id in chosen:
                yield PolicyPrompt(
                    prompt_id=demonstration.demonstration_id,
                    query_id=demonstration.query_id,
                    split=demonstration.split,
                    context=demonstration.context,
                )

    return stream(PolicyPrompt, prompts)
