"""Supervised fine-tuning on the demonstrations of the seen half (ALMoST section 2.2, Alpaca's recipe)."""

from collections.abc import Iterable, Iterator

from data_contracts.config.sft import SupervisedFinetuning
from data_contracts.config.training import TrainingSettings
from data_contracts.errors import EmptyResultError
from data_contracts.folder_contracts import PolicyCheckpoint
from data_contracts.handles import ModelHandle
from data_contracts.rows.rows import Rows, stream
from data_contracts.specs.finetune_policy import FinetuneSpec
from data_contracts.store.stored import Folder
from data_contracts.tables.demonstrations import Demonstration, QuerySplit
from data_contracts.tables.training_conversations import TrainingConversation
from data_contracts.tables.training_log import TrainingLogEntry
from tasks.runtime.loaded_models import folder_of
from tasks.runtime.phases import Phase
from tasks.runtime.run_training_job import run_training_job
from tasks.runtime.step import Outputs, step

JOB = "models.jobs.finetune_policy"


class FinetunedPolicy(Outputs):
    """The SFT model and its training log."""

    checkpoint: Folder[PolicyCheckpoint]
    training_log: Rows[TrainingLogEntry]


@step(version="3", phase=Phase.SFT, heavy=True, jobs=(JOB,))
def finetune_policy(
    *,
    demonstrations: Rows[Demonstration],
    base: ModelHandle,
    sft: SupervisedFinetuning,
    training: TrainingSettings,
    seed: int,
) -> FinetunedPolicy:
    """Fine-tune `base` on the usable demonstrations whose query is in the seen half.

    Raises:
        EmptyResultError: there is none.
    """
    if not any(seen_conversations(demonstrations)):
        raise EmptyResultError(
            f"finetune_policy: none of {len(demonstrations)} demonstrations is seen and usable; play more queries "
            "(self_play.queries)"
        )
    job = run_training_job(
        JOB,
        FinetuneSpec,
        name=("finetune_policy",),
        seed=seed,
        training=training,
        conversations=stream(TrainingConversation, lambda: seen_conversations(demonstrations)),
        base_model=folder_of(base),
        **sft.model_dump(),
    )
    return FinetunedPolicy(checkpoint=job.checkpoint(PolicyCheckpoint), training_log=job.training_log)


def seen_conversations(demonstrations: Iterable[Demonstration]) -> Iterator[TrainingConversation]:
    """What SFT learns from: the usable demonstrations of the seen half."""
    for demonstration in demonstrations:
        if demonstration.split is QuerySplit.SEEN and demonstration.usable:
            yield TrainingConversation(
                row_id=demonstration.demonstration_id,
                context=demonstration.context,
                response=demonstration.response,
            )
