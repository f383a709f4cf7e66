"""The ZeRO configuration, and the proof that it is on."""

from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from data_contracts.config.training import TrainingSettings
from data_contracts.errors import ConfigError, JobError
from models.distributed.deepspeed_config import assert_zero_active, prepare_distributed, zero_config


def settings(**changes) -> TrainingSettings:
    """Settings on CPU."""
    return TrainingSettings(use_cpu=True, **changes)


def test_stages() -> None:
    assert zero_config(settings()) is None
    for stage in (1, 2, 3):
        config = zero_config(settings(zero_stage=stage))
        assert config is not None
        zero = config["zero_optimization"]
        assert zero["stage"] == stage
        assert ("stage3_gather_16bit_weights_on_model_save" in zero) == (stage == 3)
        assert "offload_optimizer" not in zero


def test_offload() -> None:
    config = zero_config(settings(zero_stage=3, offload=True))
    assert config is not None
    assert config["zero_optimization"]["offload_param"]["device"] == "cpu"
    for stage in (0, 1):
        with pytest.raises(ValidationError, match=f"offload needs zero_stage 2 or 3, found {stage}"):
            settings(zero_stage=stage, offload=True)


def test_a_stage_that_is_not_on_is_an_error() -> None:
    engine = SimpleNamespace(zero_optimization_stage=lambda: 2)
    assert_zero_active(SimpleNamespace(deepspeed=engine), settings(zero_stage=2))
    assert_zero_active(SimpleNamespace(deepspeed=None), settings())
    with pytest.raises(JobError, match="stage 3 was asked for, but the trainer runs stage 2"):
        assert_zero_active(SimpleNamespace(deepspeed=engine), settings(zero_stage=3))
    with pytest.raises(JobError, match="runs stage 0"):
        assert_zero_active(SimpleNamespace(), settings(zero_stage=1))


def test_ranks_must_be_what_batches_are_cut_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match="processes is 2, but the job was started on 3 ranks"):
        prepare_distributed(settings(processes=2))
