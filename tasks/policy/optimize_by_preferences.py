"""An alternative to PPO: DPO of the SFT model on the kept comparisons, plain or length-normalised (not in ALMoST).

It needs no reward model: the rule of thumb's own pairs are what it learns from (delta learning, 2507.06187).
"""

from data_contracts.config.policy.settings import DPOSettings, SigmoidNormSettings
from data_contracts.config.training import TrainingSettings
from data_contracts.folder_contracts import PolicyCheckpoint
from data_contracts.rows.rows import Rows
from data_contracts.specs.optimize_by_preferences import PREFERENCE_SPECS
from data_contracts.store.stored import Folder
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.training_log import TrainingLogEntry
from models.reward.preference_pairs import pairs_of_comparisons
from tasks.runtime.phases import Phase
from tasks.runtime.run_training_job import run_training_job
from tasks.runtime.step import Outputs, step

JOB = "models.jobs.optimize_by_preferences"


class PreferredPolicy(Outputs):
    """The model and its training log."""

    checkpoint: Folder[PolicyCheckpoint]
    training_log: Rows[TrainingLogEntry]


@step(version="2", phase=Phase.POLICY, heavy=True, jobs=(JOB,), run_name="{optimization.algorithm}")
def optimize_by_preferences(
    *,
    comparisons: Rows[Comparison],
    policy: Folder[PolicyCheckpoint],
    optimization: DPOSettings | SigmoidNormSettings,
    training: TrainingSettings,
    seed: int,
) -> PreferredPolicy:
    """Optimise the SFT policy on the comparisons every filter kept; some queries are held out."""
    job = run_training_job(
        JOB,
        PREFERENCE_SPECS[optimization.algorithm],
        name=("optimize_by_preferences",),
        seed=seed,
        training=training,
        pairs=pairs_of_comparisons(comparisons, heldout_share=optimization.heldout_share, seed=seed),
        base_model=policy.local(),
        **optimization.model_dump(),
    )
    return PreferredPolicy(checkpoint=job.checkpoint(PolicyCheckpoint), training_log=job.training_log)
