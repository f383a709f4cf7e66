"""Pre-train one size of the tiny ladder on the tiny world's corpus (not in the paper)."""

import logging

from data_contracts.config.pretraining import LadderSize, PretrainingConfig
from data_contracts.config.training import TrainingSettings
from data_contracts.folder_contracts import TokenizerFiles, VanillaCheckpoint
from data_contracts.rows.rows import Rows
from data_contracts.specs.pretrain import PretrainSpec
from data_contracts.store.stored import Folder
from data_contracts.tables.documents import Document
from data_contracts.tables.training_log import TrainingLogEntry
from tasks.runtime.outputs import Outputs
from tasks.runtime.phases import Phase
from tasks.runtime.run_training_job import run_training_job
from tasks.runtime.step import step

log = logging.getLogger("almost.pretraining")
JOB = "models.jobs.pretrain"


class PretrainedModel(Outputs):
    """A vanilla model of the tiny ladder and its training log."""

    checkpoint: Folder[VanillaCheckpoint]
    training_log: Rows[TrainingLogEntry]


@step(version="5", phase=Phase.WORLD, heavy=True, jobs=(JOB,), run_name="{name}")
def pretrain_model(
    *,
    name: str,
    documents: Rows[Document],
    tokenizer: Folder[TokenizerFiles],
    size: LadderSize,
    pretraining: PretrainingConfig,
    training: TrainingSettings,
    seed: int,
) -> PretrainedModel:
    """Pre-train the model called `name`; `pretraining.sizes` are not read, and are best left empty: they enter the key."""
    job = run_training_job(
        JOB,
        PretrainSpec,
        name=("pretrain", name),
        seed=seed,
        training=training,
        corpus=documents,
        tokenizer=tokenizer.local(),
        size=size,
        pretraining=pretraining,
    )
    measured = job.manifest.metrics
    if measured.get("formed") == 0:
        log.warning(
            "pretrain_model %s has not learnt all that the profile watches (losses in nats: name copying %.2f, facts %.2f, order of "
            "the things asked %.2f); its answers will name wrong people or things. Train longer (pretraining.tokens) or change "
            "seeds.ladder",
            name, *(measured.get(f"{watched}_loss", float("nan")) for watched in ("copy", "recall", "order")),
        )  # fmt: skip
    return PretrainedModel(checkpoint=job.checkpoint(VanillaCheckpoint), training_log=job.training_log)
