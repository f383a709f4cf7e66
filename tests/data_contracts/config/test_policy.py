"""Section `policy`: each algorithm has fields and defaults of its own, and what `--set policy.algorithm` keeps."""

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from data_contracts.config.algorithm import Algorithm
from data_contracts.config.policy.pairs import DPOSettings, SigmoidNormSettings
from data_contracts.config.policy.ppo import PPOSettings
from data_contracts.config.policy.rewards import GRPOSettings, RLOOSettings
from data_contracts.config.policy.settings import ALTERNATIVES, SETTINGS, switch_algorithm
from data_contracts.config.profiles import PROFILE_FOLDER, load_profile
from data_contracts.config.reward import LikelihoodFeature, RewardTraining
from data_contracts.errors import ConfigError


def profile_with(folder: Path, policy: Any, **sections: Any) -> str:
    """Profile `laptop` with another section `policy`."""
    content = yaml.safe_load((PROFILE_FOLDER / "laptop.yaml").read_text()) | {"policy": policy} | sections
    (folder / "own.yaml").write_text(yaml.safe_dump(content))
    return str(folder / "own.yaml")


def refusal(profile: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        load_profile(profile, overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_every_algorithm_has_settings_and_says_its_name():
    assert set(SETTINGS) == set(Algorithm)
    for name, settings in SETTINGS.items():
        assert settings().algorithm == name  # type: ignore[call-arg]
        chosen = load_profile("laptop", [f"policy.algorithm={name}"]).policy
        assert type(chosen) is settings


def test_defaults_are_the_algorithms_own():
    dpo, delta = DPOSettings(), SigmoidNormSettings(batch_size=7)
    assert (dpo.beta, dpo.learning_rate, dpo.batch_size) == (0.1, 1e-6, 64)
    assert (delta.beta, delta.learning_rate, delta.batch_size) == (5.0, 5e-8, 7)
    sizes = [settings().samples_per_prompt for settings in (PPOSettings, RLOOSettings, GRPOSettings)]
    assert sizes == [1, 4, 8]


@pytest.mark.parametrize(
    ("algorithm", "field", "readers"),
    [
        ("grpo", "gae_lambda", "ppo"),
        ("rloo", "detach_value", "ppo"),
        ("grpo", "kl_estimator", "ppo, rloo"),
        ("ppo", "beta", "dpo, sigmoid_norm"),
        ("dpo", "steps", "ppo, rloo, grpo"),
    ],
)
def test_a_field_that_the_algorithm_does_not_read_is_refused(algorithm: str, field: str, readers: str, tmp_path: Path):
    first = readers.split(",")[0]
    words = f"algorithm {algorithm} does not read '{field}', which belongs to {readers}; remove it"
    for message in (
        refusal(profile_with(tmp_path, {"algorithm": algorithm, field: 1})),
        refusal("laptop", f"policy.{field}=1", f"policy.algorithm={algorithm}"),
    ):
        assert words in message
        assert f"policy.alternatives.{first}.{field}" in message


def test_old_spellings_are_refused_with_the_new_one(tmp_path: Path):
    for message in (
        refusal("laptop", "policy.optimizer=grpo"),
        refusal(profile_with(tmp_path, {"optimizer": "dpo"})),
    ):
        assert "'optimizer' is now 'algorithm': write policy.algorithm" in message
    for message in (refusal("laptop", "dpo.beta=1"), refusal(profile_with(tmp_path, {}, dpo={"beta": 1}))):
        assert "section 'dpo' is now part of 'policy'" in message
        assert "policy.alternatives.dpo" in message


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["policy.algorithm=magic"], "algorithm is 'magic'; known: ppo, rloo, grpo, dpo, sigmoid_norm"),
        (["policy.algorithm="], "algorithm is None; known: ppo"),
        (["policy.lerning_rate=1"], "policy.lerning_rate: no such field"),
        (["policy.gamma=2"], "policy.gamma: Input should be less than or equal to 1 (found '2')"),
        (["policy.alternatives.dpo.beat=1"], "alternatives.dpo: beat: no such field"),
        (["policy.alternatives.dpo.beta=-1"], "alternatives.dpo: beta: Input should be greater than 0 (found '-1')"),
        (["policy.alternatives.magic.beta=1"], "alternatives.magic is no algorithm; known: ppo"),
        (["policy.alternatives.ppo.gamma=1"], "alternatives.ppo: ppo is the section's own algorithm"),
        (["policy.alternatives.dpo=1"], "alternatives.dpo is 1; expected fields of dpo"),
        (["policy.alternatives=1"], "alternatives is 1; expected a section per algorithm"),
        (["policy.minibatch_size=33"], "minibatch_size 33 is more than rollouts 32"),
    ],
)
def test_wrong_settings_are_told_in_one_line(settings: list[str], words: str):
    assert words in refusal("laptop", *settings)


@pytest.mark.parametrize("changes", [{"samples_per_prompt": 1}, {"samples_per_prompt": 3}])
def test_groups_are_whole(changes: dict[str, int]):
    values = {"samples_per_prompt": 4, "rollouts": 128, "minibatch_size": 32}
    for settings in (RLOOSettings, GRPOSettings):
        settings(**values)
        with pytest.raises(ValidationError, match=r"greater than or equal to 2|compares .* rollouts to a multiple"):
            settings(**(values | changes))
    PPOSettings(**(values | changes))
    with pytest.raises(ValidationError, match="'pairwise' compares the samples of one prompt"):
        PPOSettings(**(values | changes), score_normalization="pairwise")  # type: ignore[arg-type]


def test_switching_keeps_what_both_read_and_names_what_it_drops(caplog: pytest.LogCaptureFixture):
    own = load_profile("tiny").policy
    assert isinstance(own, PPOSettings)
    assert own.detach_value
    with caplog.at_level(logging.WARNING, logger="almost.profiles"):
        rloo = load_profile("tiny", ["policy.samples_per_prompt=8", "policy.algorithm='rloo'"]).policy
    assert isinstance(rloo, RLOOSettings)
    shared = set(RLOOSettings.model_fields) - {"algorithm", "samples_per_prompt"}
    assert rloo.model_dump(include=shared) == own.model_dump(include=shared)
    assert rloo.samples_per_prompt == 8
    assert [record.getMessage() for record in caplog.records] == [
        "profile tiny: policy.algorithm is now rloo, so these numbers of the file do not count: policy.{detach_value}"
    ]


def test_switching_takes_the_files_numbers_for_that_algorithm():
    dpo = load_profile("tiny", ["policy.algorithm=dpo", "policy.batch_size=8"]).policy
    assert dpo == DPOSettings(learning_rate=1e-4, batch_size=8, micro_batch_size=32, max_length=256)


def test_numbers_with_a_scale_of_their_own_are_not_carried_over():
    section = {"algorithm": "dpo", "beta": 0.3, "learning_rate": 1e-3, "max_length": 99, "micro_batch_size": 2}
    content, dropped = switch_algorithm(section, "sigmoid_norm")
    assert content == {"algorithm": "sigmoid_norm", "max_length": 99, "micro_batch_size": 2}
    assert dropped == ["beta", "learning_rate"]
    content, dropped = switch_algorithm(section | {ALTERNATIVES: {"grpo": {"steps": 3}}}, "grpo")
    assert content == {"algorithm": "grpo", "micro_batch_size": 2, "steps": 3}
    assert dropped == ["beta", "learning_rate", "max_length"]


def test_an_algorithm_that_is_not_chosen_cannot_stop_a_run(tmp_path: Path):
    """How its fields go together matters only once it is chosen."""
    profile = profile_with(tmp_path, {"rollouts": 32, ALTERNATIVES: {"grpo": {"samples_per_prompt": 16}}})
    own = ["policy.rollouts=40"]
    assert isinstance(load_profile(profile, own).policy, PPOSettings)
    assert "rollouts to a multiple of it (found 16 and 40)" in refusal(profile, *own, "policy.algorithm=grpo")


def test_the_gold_judge_scores_only_where_there_is_a_world():
    assert "needs the section 'world'" in refusal("laptop", "policy.score_source=gold_judge")
    assert load_profile("smoke").other_scorer() is None
    assert load_profile("smoke", ["policy.algorithm=dpo"]).other_scorer() is None
    judged = load_profile("smoke", ["policy.score_source=gold_judge", "seeds.world=7"])
    scorer = judged.other_scorer()
    assert scorer is not None
    assert (scorer.world, scorer.world_seed) == (judged.world, 7)


def test_the_as_is_model_is_one_plain_reward_model():
    plain = RewardTraining(ensemble=3, rank_margin=0.5, likelihood=LikelihoodFeature.ADDED).plain()
    assert (plain.ensemble, plain.rank_margin, plain.likelihood) == (1, 0.0, LikelihoodFeature.OFF)
