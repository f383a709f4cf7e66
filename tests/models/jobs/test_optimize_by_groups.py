"""RLOO and GRPO as a job: TRL's trainers on PPO's prompts and scores, rollouts by our contract, exact resume."""

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from data_contracts.errors import ConfigError
from data_contracts.job_spec import TrainingSettings
from data_contracts.rollouts import Rollouts
from data_contracts.training_sections import PolicyOptimizer
from data_contracts.training_specs import PPOSpec
from models.jobs.optimize_by_groups import JOB, check_spec, names_by_update, prompt_stream, updates_per_step
from models.launch import run_job
from tests.models.jobs.training_inputs import SETTINGS, ppo_spec

GROUPS = {"samples_per_prompt": 4, "rollouts": 16, "minibatch_size": 8, "epochs": 2, "kl_coefficient": 0.05}


def spec_of(root: Path, policy: Path, reward: Path, optimizer: PolicyOptimizer, **changes) -> PPOSpec:
    root.mkdir(parents=True, exist_ok=True)
    return ppo_spec(root, policy, reward, **(GROUPS | {"optimizer": optimizer, "score_clip": None} | changes))


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [PolicyOptimizer.RLOO, PolicyOptimizer.GRPO])
def test_scores_rise_and_a_killed_run_goes_on_exactly(
    optimizer: PolicyOptimizer, tiny_llama_dir: Path, reward_dir: Path, tmp_path: Path
) -> None:
    often = SETTINGS.model_copy(update={"save_every": 1, "keep_checkpoints": 9})
    spec = spec_of(tmp_path, tiny_llama_dir, reward_dir, optimizer, steps=6, training=often)
    manifest = run_job(JOB, spec, spec.training)
    rows = Rollouts.read_parts(sorted((spec.output_dir / "rollouts").glob("*.parquet"))).to_pylist()
    assert [row["step"] for row in rows] == [step for step in range(1, 7) for _ in range(16)]
    for row in rows:
        penalty = 1.0 if row["finish_reason"] == "length" else 0.0
        assert row["reward"] == pytest.approx(row["score"] - penalty - 0.05 * row["kl"], abs=1e-4)
    assert all(len({row["prompt_id"] for row in rows[i : i + 4]}) == 1 for i in range(0, len(rows), 4)), (
        "groups of four"
    )
    means = [sum(row["reward"] for row in rows if row["step"] == step) / 16 for step in range(1, 7)]
    assert max(means[-2:]) > means[0]
    assert abs(manifest.metrics["first_kl"]) < 1e-4 < abs(manifest.metrics["last_kl"])

    if optimizer is PolicyOptimizer.GRPO:  # it resumes by the same code
        return
    weights = load_file(spec.output_dir / "model" / "model.safetensors")
    shutil.rmtree(spec.output_dir)  # as after a kill: only the checkpoints up to the fourth step are left
    [folder] = spec.work_dir.glob("checkpoints-*")
    for path in folder.glob("checkpoint-*"):
        if int(path.name.removeprefix("checkpoint-")) > 4 * updates_per_step(spec):
            shutil.rmtree(path)
    run_job(JOB, spec, spec.training)
    again = load_file(spec.output_dir / "model" / "model.safetensors")
    assert max(float((again[name] - value).abs().max()) for name, value in weights.items()) < 1e-6


def test_what_the_trainers_are_not_run_with_is_refused(tmp_path: Path) -> None:
    for changes, named in (
        ({"zero_stage": 2}, "zero_stage"),
        ({"processes": 2}, "processes"),
        ({"lora_rank": 4}, "lora"),
    ):
        settings = TrainingSettings().model_copy(update=changes)
        spec = spec_of(tmp_path, tmp_path, tmp_path, PolicyOptimizer.RLOO, training=settings)
        with pytest.raises(ConfigError, match=named):
            check_spec(spec)


def test_prompts_come_in_one_stream_and_updates_know_theirs(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, tmp_path, tmp_path, PolicyOptimizer.GRPO, steps=5)
    stream = prompt_stream(spec, 3)
    assert len(stream) == 5 * 4
    assert sorted(stream[:3]) == sorted(stream[3:6]) == [0, 1, 2], "every prompt once before any comes again"
    names = names_by_update(spec, [f"p{number}" for number in stream])
    assert len(names) == 5 * updates_per_step(spec) * spec.minibatch_size
    second = names[updates_per_step(spec) * 8 : updates_per_step(spec) * 8 + 8]  # the second step's first update
    assert set(second) == {f"p{number}" for number in stream[4:8]}
