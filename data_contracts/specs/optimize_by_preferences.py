"""Spec of the job that runs DPO on the comparisons (not in ALMoST)."""

from pathlib import Path

from pydantic import Field

from data_contracts.config.dpo import PreferenceLoss, PreferenceOptimization
from data_contracts.specs.training_job import TrainingJobSpec


class PreferenceSpec(TrainingJobSpec, PreferenceOptimization):
    """DPO of the SFT policy on comparisons, plain or length-normalised (not in ALMoST)."""

    beta: float = Field(gt=0, title="Beta")
    learning_rate: float = Field(gt=0, title="Learning rate")
    batch_size: int = Field(ge=1, title="Batch")
    loss: PreferenceLoss = Field(title="Loss", description="sigmoid: sums over an answer's tokens; sigmoid_norm: means")
    base_model: Path = Field(
        title="SFT model", description="Folder; the policy starts here and the reference stays here"
    )
    pairs: tuple[Path, ...] = Field(min_length=1, title="Pairs", description="Parquet files of `preference_pairs`")
