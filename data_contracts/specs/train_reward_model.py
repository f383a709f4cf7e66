"""Spec of the job that trains a reward model (ALMoST section 2.1)."""

from pathlib import Path

from pydantic import Field

from data_contracts.config.reward import RewardTraining
from data_contracts.specs.training_job import TrainingJobSpec


class RewardSpec(TrainingJobSpec, RewardTraining):
    """Train a reward model on comparisons (section 2.1); also the as-is reward model."""

    base_model: Path = Field(title="Base model", description="Folder of a causal language model, or of a reward model")
    pairs: tuple[Path, ...] = Field(min_length=1, title="Pairs", description="Parquet files of `preference_pairs`")
    likelihood_base: Path | None = Field(
        default=None, title="Likelihood base", description="Frozen model of the likelihood feature; empty: the base"
    )
    answer_likelihoods: Path | None = Field(
        default=None,
        title="Answer likelihoods",
        description="File of the pairs' likelihoods under the base, left by another member of the ensemble; empty: read anew",
    )
