"""Supervised fine-tuning on the demonstrations of the seen half (ALMoST section 2.2, Alpaca's recipe)."""

from data_contracts.config.sft import SupervisedFinetuning
from data_contracts.config.training import TrainingSettings
from data_contracts.errors import EmptyResultError
from data_contracts.folder_contracts import Checkpoint
from data_contracts.handles import ModelHandle
from data_contracts.specs.finetune_policy import FinetuneSpec
from data_contracts.store.artifact import Artifact
from data_contracts.tables.demonstrations import Demonstration
from data_contracts.tables.training_conversations import TrainingConversation
from data_contracts.tables.training_log import TrainingLogEntry
from models.seeding import derive_seed
from tasks.runtime.loaded_models import folder_of
from tasks.runtime.run_training_job import job_paths, output, run_training_job
from tasks.runtime.step import Outputs, step

JOB = "models.jobs.finetune_policy"


class FinetunedPolicy(Outputs):
    """The SFT model and its training log."""

    checkpoint: Artifact[Checkpoint]
    training_log: Artifact[TrainingLogEntry]


@step(version="2", jobs=(JOB,))
def finetune_policy(
    demonstrations: Artifact[Demonstration],
    base: ModelHandle,
    sft: SupervisedFinetuning,
    training: TrainingSettings,
    seed: int,
) -> FinetunedPolicy:
    """Fine-tune `base` on the usable demonstrations whose query is in the seen half."""
    rows = read(Demonstration, demonstrations).to_pylist()
    seen = [
        {"row_id": row["demonstration_id"], "context": row["context"], "response": row["response"]}
        for row in rows
        if row["split"] == "seen" and row["usable"]
    ]
    if not seen:
        raise EmptyResultError(
            f"finetune_policy: none of {len(rows)} demonstrations is seen and usable; play more queries"
        )
    paths = job_paths("finetune_policy")
    conversations = paths["work_dir"] / "conversations.parquet"
    TrainingConversation.write_part(TrainingConversation.from_rows(seen), conversations)
    spec = FinetuneSpec(
        **paths,
        **sft.model_dump(),
        seed=derive_seed(seed, "finetune_policy") % 2**31,
        base_model=folder_of(base),
        conversations=(conversations,),
        training=training,
    )
    manifest = run_training_job(JOB, spec, training)
    return FinetunedPolicy(
        checkpoint=write_folder(Checkpoint, output(spec, manifest, "model")),
        training_log=write(TrainingLogEntry, TrainingLogEntry.read_parts([output(spec, manifest, "training_log")])),
    )
