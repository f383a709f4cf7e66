"""Pre-training on several processes, accumulated, checkpointed and under ZeRO: the plain losses, weights and resume."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from data_contracts.config.training import TrainingSettings
from data_contracts.specs.pretrain import PretrainSpec
from data_contracts.tables.training_log import TrainingLogEntry
from tests.models.jobs.forked_jobs import ForkedJobs
from tests.models.jobs.training_inputs import pretrain_spec

pytestmark = pytest.mark.slow
JOB = "models.jobs.pretrain"
STEPS = 12
# Copying has not formed by the fourth step, so that every run starts over, on all ranks or on none.
RUN = {"tokens": 100 * STEPS, "log_every": 1, "formed_by_tokens": 400, "attempts": 2}
SHARDED = {"zero_stage": 3, "processes": 2}


def slow_spec(inputs: Path, root: Path, training: TrainingSettings, pass_tokens: int | None) -> PretrainSpec:
    """A spec whose learning rate is low: at a high one Adam makes a step of what is only rounding."""
    spec = pretrain_spec(inputs, root, training, micro_batch_tokens=pass_tokens, **RUN)
    return spec.model_copy(update={"size": spec.size.model_copy(update={"learning_rate": 1e-3})})


@pytest.fixture(scope="module")
def run(
    forked_jobs: ForkedJobs, pretrain_inputs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., PretrainSpec]:
    """Runs the job in a layout, each layout once."""
    made: dict[tuple[Any, ...], PretrainSpec] = {}

    def find(pass_tokens: int | None = None, **settings: Any) -> PretrainSpec:
        key = (pass_tokens, *sorted(settings.items()))
        if key not in made:
            training = TrainingSettings(use_cpu=True, save_every=100, **settings)
            root = tmp_path_factory.mktemp("pretrained")
            made[key] = slow_spec(pretrain_inputs, root, training, pass_tokens)
            forked_jobs.run(JOB, made[key])
        return made[key]

    return find


def log_of(spec: PretrainSpec) -> dict[tuple[int, str], float]:
    log = TrainingLogEntry.read_files([spec.output_dir / "training_log.parquet"])
    return {(entry.step, entry.metric): entry.value for entry in log}


def weights_of(spec: PretrainSpec) -> dict[str, torch.Tensor]:
    return load_file(spec.output_dir / "model" / "model.safetensors")


def widest_gap(found: PretrainSpec, expected: PretrainSpec) -> float:
    """Largest difference of any weight."""
    one, other = weights_of(found), weights_of(expected)
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.parametrize(
    ("pass_tokens", "settings"),
    [
        (None, {"processes": 2}),
        (30, {"gradient_checkpointing": True}),
        (30, {"zero_stage": 1, "processes": 2}),
        (None, {"zero_stage": 2, "offload": True}),
        (30, SHARDED | {"gradient_checkpointing": True}),
        (30, {"zero_stage": 3, "offload": True}),
    ],
    ids=["two-processes", "accumulated", "zero1", "zero2-offload", "zero3", "zero3-offload"],
)
def test_layouts_give_the_plain_losses_and_weights(
    pass_tokens: int | None, settings: dict[str, Any], run: Callable[..., PretrainSpec]
) -> None:
    plain, found = run(), run(pass_tokens, **settings)
    assert log_of(found) == pytest.approx(log_of(plain), abs=1e-4)
    assert widest_gap(found, plain) < 1e-3
    assert len({step for step, _ in log_of(plain)}) == STEPS
    model, info = AutoModelForCausalLM.from_pretrained(found.output_dir / "model", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_a_killed_sharded_run_ends_as_the_undisturbed(
    run: Callable[..., PretrainSpec], forked_jobs: ForkedJobs, pretrain_inputs: Path, tmp_path: Path
) -> None:
    """Killed in its second attempt, whose sixth step counts for more than the fourth of the first."""
    whole = run(30, **SHARDED, gradient_checkpointing=True)
    training = whole.training.model_copy(update={"save_every": 1})
    killed = slow_spec(pretrain_inputs, tmp_path, training, 30)
    assert killed.digest() == whole.digest()
    outcome = forked_jobs.run(JOB, killed, kill_at=6)
    assert -9 in outcome.codes
    last = outcome.events[-1]["done"]
    resumed = forked_jobs.run(JOB, killed)
    assert "resumed at step" in resumed.log
    assert last <= resumed.events[0]["done"] <= last + 1, "at most save_every steps are done again"
    assert log_of(killed) == pytest.approx(log_of(whole), abs=1e-6)
    assert widest_gap(killed, whole) <= 1e-6


@pytest.mark.parametrize("settings", [{}, SHARDED], ids=["plain", "zero3"])
def test_in_bfloat16_it_learns_too(
    settings: dict[str, Any], forked_jobs: ForkedJobs, pretrain_inputs: Path, tmp_path: Path
) -> None:
    training = TrainingSettings(use_cpu=True, save_every=100, bf16=True, **settings)
    spec = pretrain_spec(pretrain_inputs, tmp_path, training, log_every=1, tokens=1200)
    forked_jobs.run(JOB, spec)
    losses = [value for (_, metric), value in sorted(log_of(spec).items()) if metric == "loss"]
    assert losses[-1] < losses[0] - 0.1
