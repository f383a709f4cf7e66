"""Specs of the job that runs DPO on the comparisons, plain or length-normalised (not in ALMoST): one per algorithm."""

from pathlib import Path

from pydantic import Field

from data_contracts.config.algorithm import Algorithm
from data_contracts.config.policy.pairs import DPOSettings, LearningFromPairs, SigmoidNormSettings
from data_contracts.specs.training_job import TrainingJobSpec


class PreferenceSpec(TrainingJobSpec, LearningFromPairs):
    """What the algorithms' specs share: the SFT model and the pairs."""

    base_model: Path = Field(
        title="SFT model folder", description="The policy starts from it, and the reference stays what it is"
    )
    pairs: tuple[Path, ...] = Field(min_length=1, title="Pair files", description="Parquet files of `preference_pairs`")


class DPOSpec(DPOSettings, PreferenceSpec):
    """DPO of the SFT policy."""


class SigmoidNormSpec(SigmoidNormSettings, PreferenceSpec):
    """Length-normalised DPO of the SFT policy."""


PREFERENCE_SPECS: dict[Algorithm, type[DPOSpec] | type[SigmoidNormSpec]] = {
    Algorithm.DPO: DPOSpec,
    Algorithm.SIGMOID_NORM: SigmoidNormSpec,
}
