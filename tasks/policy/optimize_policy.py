"""Reinforcement learning from synthetic feedback: PPO, RLOO or GRPO from the SFT model (ALMoST section 2.3).

Prompts are those of the demonstrations, half seen in SFT and half not; when the halves differ in size, the larger one
is cut by seed.
"""

from typing import Any

import numpy as np

from data_contracts.config.policy import GRPOSettings, PPOSettings, RLOOSettings
from data_contracts.config.training import TrainingSettings
from data_contracts.config.world import GoldJudgeSource
from data_contracts.errors import EmptyResultError
from data_contracts.folder_contracts import Checkpoint, LastCheckpoint
from data_contracts.specs.optimize_policy import POLICY_SPECS, RewardModelSource
from data_contracts.store.artifact import Artifact
from data_contracts.tables.demonstrations import QUERY_SPLITS, Demonstrations
from data_contracts.tables.policy_prompts import PolicyPrompts
from data_contracts.tables.rollouts import Rollouts
from data_contracts.tables.training_log import TrainingLog
from models.seeding import derive_seed
from tasks.runtime.loaded_models import as_model, folder_of
from tasks.runtime.run_training_job import job_paths, output, run_training_job
from tasks.runtime.step import Outputs, step
from tasks.runtime.step_context import read, write, write_folder

JOB = "models.jobs.optimize_policy"


class OptimizedPolicy(Outputs):
    """The kept model, that of the last step, everything that was sampled, and the training log."""

    checkpoint: Artifact[Checkpoint]
    last_checkpoint: Artifact[LastCheckpoint]
    rollouts: Artifact[Rollouts]
    training_log: Artifact[TrainingLog]


@step(version="5", jobs=(JOB,))
def optimize_policy(
    demonstrations: Artifact[Demonstrations],
    policy: Artifact[Checkpoint],
    reward_model: Artifact[Checkpoint],
    optimization: PPOSettings | RLOOSettings | GRPOSettings,
    training: TrainingSettings,
    seed: int,
    other_scorer: GoldJudgeSource | None = None,
) -> OptimizedPolicy:
    """Optimise the SFT policy against the reward model, or against another scorer in its place."""
    prompts = balanced_prompts(read(Demonstrations, demonstrations).to_pylist(), seed)
    paths = job_paths("optimize_policy")
    prompts_file = paths["work_dir"] / "prompts.parquet"
    PolicyPrompts.write_part(PolicyPrompts.from_rows(prompts), prompts_file)
    spec = POLICY_SPECS[optimization.algorithm](
        **paths,
        **optimization.model_dump(),
        seed=derive_seed(seed, "optimize_policy") % 2**31,
        policy=folder_of(as_model("sft", policy)),
        scorer=other_scorer or RewardModelSource(folder=folder_of(as_model("reward", reward_model))),
        prompts=(prompts_file,),
        training=training,
    )
    manifest = run_training_job(JOB, spec, training)
    rollouts = sorted(output(spec, manifest, "rollouts").glob("*.parquet"))
    return OptimizedPolicy(
        checkpoint=write_folder(Checkpoint, output(spec, manifest, "model")),
        last_checkpoint=write_folder(LastCheckpoint, output(spec, manifest, "last_model")),
        rollouts=write(Rollouts, Rollouts.read_parts(rollouts)),
        training_log=write(TrainingLog, TrainingLog.read_parts([output(spec, manifest, "training_log")])),
    )


def balanced_prompts(demonstrations: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """As many seen as unseen contexts, in the demonstrations' order.

    Raises:
        EmptyResultError: one of the halves is empty.
    """
    by_split = {
        split: [row for row in demonstrations if row["split"] == split and row["usable"]] for split in QUERY_SPLITS
    }
    count = min(len(rows) for rows in by_split.values())
    if count == 0:
        sizes = {split: len(rows) for split, rows in by_split.items()}
        raise EmptyResultError(f"optimize_policy: prompts per half are {sizes}; play more queries (self_play.queries)")
    chosen: set[str] = set()
    for split, rows in by_split.items():
        drawn = np.random.default_rng(derive_seed(seed, "prompts", split)).permutation(len(rows))[:count]
        chosen |= {rows[place]["demonstration_id"] for place in drawn}
    return [
        {"prompt_id": r["demonstration_id"], "query_id": r["query_id"], "split": r["split"], "context": r["context"]}
        for r in demonstrations
        if r["demonstration_id"] in chosen
    ]
