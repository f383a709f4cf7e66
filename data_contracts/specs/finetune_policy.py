"""Spec of the job that fine-tunes the policy on demonstrations (ALMoST section 2.2)."""

from pathlib import Path

from pydantic import Field

from data_contracts.config.sft import SupervisedFinetuning
from data_contracts.specs.training_job import TrainingJobSpec


class FinetuneSpec(TrainingJobSpec, SupervisedFinetuning):
    """Supervised fine-tuning on demonstrations (section 2.2; "Alpaca's recipe")."""

    base_model: Path = Field(title="Base model", description="Folder of a causal language model")
    conversations: tuple[Path, ...] = Field(
        min_length=1, title="Rows", description="Parquet files of `training_conversations`"
    )
