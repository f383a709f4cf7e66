"""PPO as a job: outputs and manifest, what it refuses, and SIGKILL in the middle."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from data_contracts.errors import ConfigError, TransientJobError
from data_contracts.job_spec import TrainingSettings
from data_contracts.rollouts import Rollouts
from data_contracts.training_log import TrainingLog
from data_contracts.training_specs import PPOSpec
from models.jobs.optimize_policy import check_spec
from models.launch import run_job
from tests.models.jobs.test_finetune_policy import kill_at
from tests.models.jobs.training_inputs import ppo_spec

JOB = "models.jobs.optimize_policy"


@pytest.fixture(scope="module")
def reward_dir(tiny_llama_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random reward model."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path_factory.mktemp("reward")
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_pretrained(tiny_llama_dir, num_labels=1).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_llama_dir).save_pretrained(folder)
    return folder


def test_outputs_and_manifest(tiny_llama_dir: Path, reward_dir: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    spec = ppo_spec(tmp_path, tiny_llama_dir, reward_dir)
    manifest = run_job(JOB, spec, spec.training)
    assert manifest.metrics["steps"] == 4
    assert manifest.metrics["kept_step"] in (2, 4)
    assert manifest.metrics["first_kl"] == pytest.approx(0.0, abs=1e-4)
    log = TrainingLog.read_parts([spec.output_dir / "training_log.parquet"]).to_pylist()
    checks = {
        name: {row["step"]: row["value"] for row in log if row["metric"] == name}
        for name in ("validation_score", "validation_objective")
    }
    assert set(checks["validation_score"]) == {0, 2, 4}
    trained = {step: goal for step, goal in checks["validation_objective"].items() if step}
    assert trained[int(manifest.metrics["kept_step"])] == max(trained.values())
    assert manifest.metrics["validation_score_kept"] == checks["validation_score"][manifest.metrics["kept_step"]]
    assert manifest.metrics["validation_score_last"] == checks["validation_score"][4]
    assert manifest.metrics["validation_score_before"] == checks["validation_score"][0]
    parts = sorted((spec.output_dir / "rollouts").glob("*.parquet"))
    assert Rollouts.check(Rollouts.read_parts(parts)).num_rows == 32
    for name in ("model", "last_model"):
        saved = AutoModelForCausalLM.from_pretrained(spec.output_dir / name)
        assert saved.generation_config.eos_token_id == saved.config.eos_token_id == 2
        assert (spec.output_dir / name / "chat_template.jinja").is_file()
    assert load_file(spec.output_dir / "model" / "value_head.safetensors")["weight"].shape == (1, 32)


@pytest.mark.slow
def test_sigkill_and_rerun_give_the_undisturbed_policy(tiny_llama_dir: Path, reward_dir: Path, tmp_path: Path) -> None:
    changes = {"steps": 12, "keep_model": "last"}
    whole, killed = (ppo_spec(tmp_path / name, tiny_llama_dir, reward_dir, **changes) for name in ("whole", "killed"))
    run_job(JOB, whole, whole.training)
    with pytest.raises(TransientJobError, match="SIGKILL"):
        run_job(JOB, killed, killed.training, kill_at(killed, 8))
    events: list[dict[str, Any]] = []
    run_job(JOB, killed, killed.training, events.append)
    assert events[0]["done"] >= 7
    first, second = (load_file(s.output_dir / "model" / "model.safetensors") for s in (whole, killed))
    for name, weights in first.items():
        assert float((weights - second[name]).abs().max()) <= 1e-6, name


def measured(spec: PPOSpec) -> dict[tuple[int, str], float]:
    """The training log by step and metric."""
    log = TrainingLog.read_parts([spec.output_dir / "training_log.parquet"]).to_pylist()
    return {(row["step"], row["metric"]): row["value"] for row in log}


@pytest.mark.slow
def test_ranks_and_sharding_change_nothing(tiny_llama_dir: Path, reward_dir: Path, tmp_path: Path) -> None:
    """ZeRO-2 on two processes, seven rollouts in uneven mini-batches, against the plain run."""
    plain = TrainingSettings(use_cpu=True, save_every=2, timeout_s=300)
    sharded = plain.model_copy(update={"zero_stage": 2, "processes": 2})
    sizes = {"steps": 2, "rollouts": 7, "minibatch_size": 5}
    whole = ppo_spec(tmp_path / "plain", tiny_llama_dir, reward_dir, **sizes, training=plain)
    shared = ppo_spec(tmp_path / "zero2", tiny_llama_dir, reward_dir, **sizes, training=sharded)
    for spec in (whole, shared):
        run_job(JOB, spec, spec.training)
    assert measured(shared) == pytest.approx(measured(whole), abs=1e-4)
    for name in ("model", "last_model"):
        first, second = (load_file(s.output_dir / name / "model.safetensors") for s in (whole, shared))
        assert first.keys() == second.keys()
        for key, weights in first.items():
            assert float((weights - second[key]).abs().max()) < 1e-4, key


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training": TrainingSettings(zero_stage=3)}, "training.zero_stage 3 yet"),
        ({"training": TrainingSettings(zero_stage=2, offload=True)}, "training.offload yet"),
        ({"training": TrainingSettings(zero_stage=1, lora_rank=2)}, "together with training.zero_stage"),
        ({"training": TrainingSettings(lora_rank=2), "unfrozen_layers": 1}, "unfrozen_layers"),
        ({"minibatch_size": 9}, "minibatch_size 9"),
    ],
)
def test_what_ppo_cannot_do_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_spec(ppo_spec(tmp_path, tmp_path, tmp_path, **changes))


def test_lengths_beyond_the_positions_are_refused(tiny_llama_dir: Path, reward_dir: Path, tmp_path: Path) -> None:
    spec = ppo_spec(tmp_path, tiny_llama_dir, reward_dir, max_new_tokens=200)
    with pytest.raises(ConfigError, match=r"64 \+ max_new_tokens 200 \+ 1 exceeds the policy's 256 positions"):
        run_job(JOB, spec, spec.training)
