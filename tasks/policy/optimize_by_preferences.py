"""An alternative to PPO: DPO of the SFT model on the kept comparisons, plain or length-normalised (not in ALMoST).

It needs no reward model: the rule of thumb's own pairs are what it learns from (delta learning, 2507.06187).
"""

from data_contracts.config.policy import DPOSettings, SigmoidNormSettings
from data_contracts.config.training import TrainingSettings
from data_contracts.folder_contracts import Checkpoint
from data_contracts.specs.optimize_by_preferences import PREFERENCE_SPECS
from data_contracts.store.artifact import Artifact
from data_contracts.tables.comparisons import Comparisons
from data_contracts.tables.preference_pairs import PreferencePairs
from data_contracts.tables.training_log import TrainingLog
from models.seeding import derive_seed
from tasks.reward.preference_rows import kept_pairs, with_splits
from tasks.runtime.loaded_models import as_model, folder_of
from tasks.runtime.run_training_job import job_paths, output, run_training_job
from tasks.runtime.step import Outputs, step
from tasks.runtime.step_context import write, write_folder

JOB = "models.jobs.optimize_by_preferences"


class PreferredPolicy(Outputs):
    """The model and its training log."""

    checkpoint: Artifact[Checkpoint]
    training_log: Artifact[TrainingLog]


@step(version="1", jobs=(JOB,), run_name="{optimization.algorithm}")
def optimize_by_preferences(
    comparisons: Artifact[Comparisons],
    policy: Artifact[Checkpoint],
    optimization: DPOSettings | SigmoidNormSettings,
    training: TrainingSettings,
    seed: int,
) -> PreferredPolicy:
    """Optimise the SFT policy on the comparisons every filter kept; some queries are held out."""
    pairs = with_splits(kept_pairs(comparisons), optimization.heldout_share, seed)
    paths = job_paths("optimize_by_preferences")
    pairs_file = paths["work_dir"] / "pairs.parquet"
    PreferencePairs.write_part(PreferencePairs.from_rows(pairs), pairs_file)
    spec = PREFERENCE_SPECS[optimization.algorithm](
        **paths,
        **optimization.model_dump(),
        seed=derive_seed(seed, "optimize_by_preferences") % 2**31,
        base_model=folder_of(as_model("sft", policy)),
        pairs=(pairs_file,),
        training=training,
    )
    manifest = run_training_job(JOB, spec, training)
    return PreferredPolicy(
        checkpoint=write_folder(Checkpoint, output(spec, manifest, "model")),
        training_log=write(TrainingLog, TrainingLog.read_parts([output(spec, manifest, "training_log")])),
    )
