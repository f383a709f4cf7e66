"""Pre-train one rung of the tiny ladder on the tiny world's corpus (DESIGN section 7; not in the paper)."""

import logging

from data_contracts.config.pretraining import LadderSize, PretrainingConfig
from data_contracts.config.training import TrainingSettings
from data_contracts.folder_contracts import Checkpoint, TokenizerFiles
from data_contracts.specs.pretrain import PretrainSpec
from data_contracts.store.artifact import Artifact
from data_contracts.tables.documents import Document
from data_contracts.tables.training_log import TrainingLogEntry
from models.seeding import derive_seed
from tasks.runtime.run_training_job import job_paths, output, run_training_job
from tasks.runtime.step import Outputs, step

log = logging.getLogger("almost.pretraining")
JOB = "models.jobs.pretrain"


class PretrainedModel(Outputs):
    """A vanilla model of the tiny ladder and its training log."""

    checkpoint: Artifact[Checkpoint]
    training_log: Artifact[TrainingLogEntry]


@step(version="4", jobs=(JOB,), run_name="{name}")
def pretrain_model(
    name: str,
    documents: Artifact[Document],
    tokenizer: Artifact[TokenizerFiles],
    size: LadderSize,
    pretraining: PretrainingConfig,
    training: TrainingSettings,
    seed: int,
) -> PretrainedModel:
    """Pre-train the model called `name`."""
    spec = PretrainSpec(
        **job_paths(f"pretrain-{name}"),
        seed=derive_seed(seed, "pretrain", name) % 2**31,
        corpus=parts_of(documents),
        tokenizer=active_store().local_folder(tokenizer),
        size=size,
        pretraining=pretraining,
        training=training,
    )
    manifest = run_training_job(JOB, spec, training)
    if manifest.metrics.get("formed") == 0:
        log.warning(
            "pretrain_model %s has not learnt all that the profile watches (losses in nats: name copying %.2f, facts %.2f, order of "
            "the things asked %.2f); its answers will name wrong people or things. Train longer (pretraining.tokens) or change "
            "seeds.ladder",
            name, *(manifest.metrics.get(f"{watched}_loss", float("nan")) for watched in ("copy", "recall", "order")),
        )  # fmt: skip
    return PretrainedModel(
        checkpoint=write_folder(Checkpoint, output(spec, manifest, "model")),
        training_log=write(TrainingLogEntry, TrainingLogEntry.read_parts([output(spec, manifest, "training_log")])),
    )
