"""The bill of a run, worked by hand for one configuration."""

import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
from safetensors.numpy import save_file

from data_contracts.config.profiles import load_profile
from data_contracts.store.home import PROJECT_ROOT
from models.run_bill import bill, parameters

SMOKE = load_profile("smoke", ["world.vocabulary_size=640"])


def test_parameters_of_a_tiny_model_and_of_a_folder(tmp_path: Path):
    # small: 12 * 2 layers * 32 * 32 + 640 * 32
    assert parameters(SMOKE, "tiny:small") == 12 * 2 * 32**2 + 640 * 32 == 45056
    save_file({"a": np.zeros((3, 4)), "b": np.zeros(5)}, tmp_path / "model.safetensors")
    assert parameters(SMOKE, str(tmp_path)) == 17
    assert parameters(SMOKE, "org/model") is None


def test_a_bill_by_hand():
    config = load_profile(
        "smoke",
        [
            "mining.queries=10",
            "mining.max_attempts_per_query=2",
            "mining.max_new_tokens=4",
            "sampling.max_new_tokens=8",
        ],
    )
    work = {one.step: one for one in bill(config)}
    assert work["mine_queries"].tokens == 10 * 2 * (96 + 4)
    assert work["sample_responses-E"].tokens == 10 * (96 + 8)
    assert work["sample_responses-E"].flops == 2 * 10 * (96 + 8) * (parameters(config, "tiny:small") or 0)
    assert work["train_reward_model"].tokens == config.reward.epochs * 10 * 10 * 2 * (
        96 + 8
    )  # 10 pairs of 5 responders
    assert work["pretrain_model-small"].flops == 6 * 240_000 * (12 * 2 * 32**2 + config.world.vocabulary_size * 32)  # type: ignore[union-attr]
    assert work["optimize_policy"].hours(1e12) == pytest.approx(work["optimize_policy"].flops / 3.6e15)  # type: ignore[operator]


def test_ones_own_queries_are_counted_and_not_mined(tmp_path: Path):
    (tmp_path / "own.txt").write_text("A?\nB?\n\nC?\n")
    config = load_profile("smoke", [f"use.queries={tmp_path / 'own.txt'}", "sampling.max_new_tokens=8"])
    work = {one.step: one for one in bill(config)}
    assert "mine_queries" not in work
    assert work["sample_responses-E"].tokens == 3 * (96 + 8)
    assert work["judge_by_as_is"].tokens == 3 * 10 * 2 * (96 + 8)


def test_a_model_that_is_only_a_name_has_no_flops_but_tokens(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    config = load_profile("smoke", ["models.large=org/model"])
    work = {one.step: one for one in bill(config)}
    assert work["mine_queries"].flops is None
    assert work["mine_queries"].hours(1e12) is None
    assert work["mine_queries"].tokens > 0
    assert work["finetune_policy"].flops


def test_more_of_anything_never_costs_less():
    base = {one.step: one.tokens for one in bill(SMOKE)}
    more = load_profile("smoke", ["mining.queries=61", "policy.steps=7", "sft.epochs=9", "self_play.candidates=5"])
    for one in bill(more):
        assert one.tokens >= base[one.step]


def test_the_command_prints_steps_and_a_sum():
    done = subprocess.run(
        [sys.executable, "-m", "deployments.cli.command_line", "plan", "--profile", "smoke", "--teraflops", "0.01"],
        cwd=PROJECT_ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["step", "tokens", "FLOPs", "hours", "at", "0.01", "TFLOP/s"]
    named = [line.split()[0] for line in lines[1:] if line and not line.startswith("Upper")]
    assert named == [*(one.step for one in bill(load_profile("smoke"))), "together"]
    assert json.loads(lines[len(named)].split()[1].replace(",", "")) == sum(
        s.tokens for s in bill(load_profile("smoke"))
    )


def test_learning_from_pairs_needs_no_rollouts():
    config = load_profile("smoke", ["policy.algorithm=dpo", "mining.queries=10", "sampling.max_new_tokens=8"])
    work = {one.step: one for one in bill(config)}
    assert "optimize_policy" not in work
    pairs, tokens = 10 * 5 * 4 // 2, 2 * (96 + 8)
    assert work["optimize_by_preferences"].tokens == 2 * pairs * tokens  # the policy's and the reference's
    assert work["optimize_by_preferences"].flops == (6 + 2) * pairs * tokens * (parameters(config, "tiny:mid") or 0)


def test_every_member_of_an_ensemble_is_paid_for():
    one, three = ({w.step: w for w in bill(load_profile("smoke", [f"reward.ensemble={n}"]))} for n in (1, 3))
    step = "train_reward_model"
    assert three[step].flops > 3 * (one[step].flops or 0)  # type: ignore[operator]
    assert three["self_play"].tokens > one["self_play"].tokens
    assert three["train_as_is_reward_model"] == one["train_as_is_reward_model"]
