"""Specs of jobs: their digest decides whether a rerun resumes, so it must see what is learnt and nothing else."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from data_contracts.config.pretraining import LadderSize, PretrainingConfig
from data_contracts.config.training import TrainingSettings
from data_contracts.specs.finetune_policy import FinetuneSpec
from data_contracts.specs.job_spec import JobSpec
from data_contracts.specs.optimize_policy import PPOSpec, RewardModelSource
from data_contracts.specs.pretrain import PretrainSpec
from data_contracts.specs.train_reward_model import RewardSpec

PLACE: dict[str, Any] = {"output_dir": Path("/a/output"), "work_dir": Path("/a/work"), "seed": 1}
SPECS: list[JobSpec] = [
    RewardSpec(**PLACE, base_model=Path("/m"), pairs=(Path("/p"),)),
    FinetuneSpec(**PLACE, base_model=Path("/m"), conversations=(Path("/p"),)),
    PPOSpec(**PLACE, policy=Path("/m"), scorer=RewardModelSource(folder=Path("/r")), prompts=(Path("/p"),)),
    PretrainSpec(
        **PLACE,
        corpus=[Path("/c")],
        tokenizer=Path("/t"),
        size=LadderSize(hidden=32, layers=2, heads=2, learning_rate=1e-3),
        pretraining=PretrainingConfig(),
    ),
]
every_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: type(spec).__name__)


@every_spec
def test_a_moved_home_still_resumes(spec: JobSpec):
    moved = spec.model_copy(update={"output_dir": Path("/b/output"), "work_dir": Path("/b/work")})
    assert moved.digest() == spec.digest()


@every_spec
def test_time_limits_and_checkpoints_do_not_count_and_all_else_does(spec: JobSpec):
    def trained(**changes: Any) -> str:
        return spec.model_copy(update={"training": TrainingSettings(**changes)}).digest()

    for changes in ({"timeout_s": 5}, {"save_every": 3}, {"keep_checkpoints": 2}):
        assert trained(**changes) == spec.digest(), changes
    for changes in ({"zero_stage": 2}, {"processes": 2}, {"bf16": True}, {"lora_rank": 4}):
        assert trained(**changes) != spec.digest(), changes
    assert spec.model_copy(update={"seed": 2}).digest() != spec.digest()


@every_spec
def test_a_spec_survives_its_file(spec: JobSpec):
    again = type(spec).model_validate_json(spec.model_dump_json())
    assert again == spec
    assert again.digest() == spec.digest()


@every_spec
def test_a_spec_is_frozen_and_knows_its_fields(spec: JobSpec):
    with pytest.raises(ValidationError):
        spec.seed = 2
    with pytest.raises(ValidationError, match="extra_forbidden"):
        type(spec).model_validate(spec.model_dump() | {"sead": 1})


def test_other_rungs_of_the_ladder_do_not_count():
    spec = SPECS[3]
    assert isinstance(spec, PretrainSpec)
    fewer = spec.pretraining.model_copy(update={"sizes": {}})
    assert spec.model_copy(update={"pretraining": fewer}).digest() == spec.digest()
    longer = spec.pretraining.model_copy(update={"tokens": 7})
    assert spec.model_copy(update={"pretraining": longer}).digest() != spec.digest()
    assert spec.model_copy(update={"pretraining": longer}).tokens == 7
    own = spec.size.model_copy(update={"tokens": 5})
    assert spec.model_copy(update={"size": own}).tokens == 5
