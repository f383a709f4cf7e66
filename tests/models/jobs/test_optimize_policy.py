"""PPO as a job: outputs and manifest, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from data_contracts.config.training import TrainingSettings
from data_contracts.errors import ConfigError
from data_contracts.tables.rollouts import Rollout
from data_contracts.tables.training_log import TrainingLogEntry
from models.jobs.optimize_policy import check_spec
from models.processes.launch import run_job
from tests.models.jobs.forked_jobs import ForkedJobs
from tests.models.jobs.training_inputs import ppo_spec

JOB = "models.jobs.optimize_policy"


def test_outputs_and_manifest(tiny_llama_dir: Path, tiny_reward_dir: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    spec = ppo_spec(tmp_path, tiny_llama_dir, tiny_reward_dir)
    manifest = run_job(JOB, spec, spec.training)
    assert manifest.metrics["steps"] == 4
    assert manifest.metrics["kept_step"] in (2, 4)
    assert manifest.metrics["first_kl"] == pytest.approx(0.0, abs=1e-4)
    log = list(TrainingLogEntry.read_files([spec.output_dir / "training_log.parquet"]))
    checks = {
        name: {entry.step: entry.value for entry in log if entry.metric == name}
        for name in ("validation_score", "validation_objective")
    }
    assert set(checks["validation_score"]) == {0, 2, 4}
    trained = {step: goal for step, goal in checks["validation_objective"].items() if step}
    assert trained[int(manifest.metrics["kept_step"])] == max(trained.values())
    assert manifest.metrics["validation_score_kept"] == checks["validation_score"][manifest.metrics["kept_step"]]
    assert manifest.metrics["validation_score_last"] == checks["validation_score"][4]
    assert manifest.metrics["validation_score_before"] == checks["validation_score"][0]
    parts = sorted((spec.output_dir / "rollouts").glob("*.parquet"))
    assert Rollout.to_table(Rollout.read_files(parts)).num_rows == 32
    for name in ("model", "last_model"):
        saved = AutoModelForCausalLM.from_pretrained(spec.output_dir / name)
        assert saved.generation_config.eos_token_id == saved.config.eos_token_id == 2
        assert (spec.output_dir / name / "chat_template.jinja").is_file()
    assert load_file(spec.output_dir / "model" / "value_head.safetensors")["weight"].shape == (1, 32)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training": TrainingSettings(zero_stage=1, offload=True)}, "zero_stage 2 or 3, found 1"),
        ({"training": TrainingSettings(lora_rank=2), "unfrozen_layers": 1}, "unfrozen_layers"),
        ({"minibatch_size": 9}, "minibatch_size 9"),
        ({"optimizer": "sigmoid_norm"}, "SIGMOID_NORM learns from comparisons"),
    ],
)
def test_what_the_job_cannot_do_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_spec(ppo_spec(tmp_path, tmp_path, tmp_path, **changes))


def test_lengths_beyond_the_positions_are_refused(
    forked_jobs: ForkedJobs, tiny_llama_dir: Path, tiny_reward_dir: Path, tmp_path: Path
) -> None:
    spec = ppo_spec(tmp_path, tiny_llama_dir, tiny_reward_dir, max_new_tokens=200)
    error = forked_jobs.run(JOB, spec, may_fail=True).error
    assert error["class"] == "ConfigError"
    assert "64 + max_new_tokens 200 + 1 exceeds the policy's 256 positions" in error["message"]
