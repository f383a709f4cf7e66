"""SIGKILL at three seeded steps of each job: the same command goes on and ends as if nothing had happened.

`save_every` is 1: at most one step is done again. Kills hit while a checkpoint is being written as often as between two.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from data_contracts.config.dpo import PreferenceLoss
from data_contracts.config.reward import LikelihoodFeature
from data_contracts.config.training import TrainingSettings
from data_contracts.tables.rollouts import Rollout
from data_contracts.tables.training_log import TrainingLogEntry
from models.training.checkpoints import MARKER, checkpoint_folder
from tests.models.jobs.forked_jobs import ForkedJobs
from tests.models.jobs.training_inputs import finetune_spec, ppo_spec, preference_spec, pretrain_spec, reward_spec

MANY = 150  # steps of pre-training: they are so short that a kill arrives some steps late
pytestmark = pytest.mark.slow
Make = Callable[..., Any]
SFT, RM, PPO = ("models.jobs.finetune_policy", "models.jobs.train_reward_model", "models.jobs.optimize_policy")
DPO = "models.jobs.optimize_by_preferences"


@pytest.fixture(scope="module")
def makers(tiny_llama_dir: Path, tiny_reward_dir: Path, pretrain_inputs: Path) -> dict[str, tuple[str, Make, int]]:
    """Module of each case, what makes its spec from a root and training settings, and its number of steps."""
    policy = partial(ppo_spec, policy=tiny_llama_dir, reward_model=tiny_reward_dir)
    loop = {"steps": 6, "rollouts": 4, "minibatch_size": 2, "epochs": 1, "max_new_tokens": 4, "kl_target": 1.0}
    groups = {"samples_per_prompt": 2, "kl_coefficient": 0.05}
    reward = partial(reward_spec, model=tiny_llama_dir, rows=24)
    return {
        "pretraining": (
            "models.jobs.pretrain",
            partial(pretrain_spec, pretrain_inputs, log_every=1, tokens=100 * MANY),
            MANY,
        ),
        "as-is-rm": (RM, reward, 6),
        "rm-with-likelihood": (RM, partial(reward, likelihood=LikelihoodFeature.ADDED), 6),
        "sft": (SFT, partial(finetune_spec, model=tiny_llama_dir, rows=24), 6),
        "ppo": (PPO, partial(policy, **loop, score_normalization="running"), 6),
        "rloo": (PPO, partial(policy, **loop, **groups, optimizer="rloo"), 6),
        "grpo": (PPO, partial(policy, **loop, **groups, optimizer="grpo"), 6),
        "dpo": (DPO, partial(preference_spec, model=tiny_llama_dir, loss=PreferenceLoss.SIGMOID, rows=24), 6),
    }


def log_of(spec: Any) -> dict[tuple[int, str], float]:
    """The training log by step and metric."""
    log = TrainingLogEntry.read_files([spec.output_dir / "training_log.parquet"])
    return {(entry.step, entry.metric): entry.value for entry in log}


def rollouts_of(spec: Any) -> list[Rollout]:
    """PPO's rollouts, nothing for other jobs."""
    return list(Rollout.read_files(sorted((spec.output_dir / "rollouts").glob("*.parquet"))))


@pytest.mark.parametrize(
    ("case", "settings"),
    [
        ("pretraining", {}),
        ("as-is-rm", {}),
        ("rm-with-likelihood", {"lora_rank": 2}),
        ("sft", {}),
        ("sft", {"zero_stage": 3, "processes": 2, "lora_rank": 2}),
        ("ppo", {}),
        ("ppo", {"zero_stage": 3, "processes": 2}),
        ("rloo", {}),
        ("grpo", {"zero_stage": 2, "processes": 2}),
        ("dpo", {}),
        ("dpo", {"zero_stage": 1, "processes": 2}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(f"{k}{v}" for k, v in value.items()) or "plain",
)
def test_three_kills_change_nothing(
    case: str,
    settings: dict[str, Any],
    forked_jobs: ForkedJobs,
    makers: dict[str, tuple[str, Make, int]],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    module, make, steps = makers[case]
    specs = []
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        training = TrainingSettings(use_cpu=True, save_every=1, keep_checkpoints=2, **settings)
        specs.append(make(tmp_path / name, training=training))
    whole, killed = specs
    assert forked_jobs.run(module, whole).events[-1]["done"] == steps
    seed = sum(map(ord, request.node.name))
    last = 0
    for step in sorted(1 + np.random.default_rng(seed).choice(2 * steps // 3, 3, replace=False)):
        outcome = forked_jobs.run(module, killed, kill_at=max(int(step), last + 1))
        assert -9 in outcome.codes, outcome.log
        assert outcome.events[0]["done"] >= last, "at most save_every steps are done again"
        last = outcome.events[-1]["done"]
    resumed = forked_jobs.run(module, killed)
    assert resumed.events[0]["done"] >= last
    assert log_of(killed) == pytest.approx(log_of(whole), abs=1e-6)
    assert rollouts_of(killed) == rollouts_of(whole)
    found = [path for spec in specs for path in (spec.output_dir / "model").glob("*.safetensors")]
    assert len({path.name for path in found}) * 2 == len(found)
    for path in (whole.output_dir / "model").glob("*.safetensors"):
        again = load_file(killed.output_dir / "model" / path.name)
        for name, weights in load_file(path).items():
            assert float((weights - again[name]).abs().max()) <= 1e-6, f"{path.name}: {name}"
    for path in (whole.output_dir / "model").glob("likelihood.json"):
        again = (killed.output_dir / "model" / path.name).read_text()
        assert json.loads(again) == pytest.approx(json.loads(path.read_text()), abs=1e-6)
    if case != "pretraining":
        kept = list(checkpoint_folder(killed).glob(f"*-*/{MARKER}"))
        assert len(kept) == 2, "as many checkpoints as training.keep_checkpoints says"
