"""Settings of what may stand in PPO's place: defaults of each loss, and what groups of samples need."""

import pytest
from pydantic import ValidationError

from data_contracts.config.dpo import PreferenceLoss, PreferenceOptimization
from data_contracts.config.policy import PolicyOptimization, PolicyOptimizer
from data_contracts.config.reward import LikelihoodFeature, RewardTraining


def test_empty_fields_are_the_losss_own():
    dpo = PreferenceOptimization().resolved(PreferenceLoss.SIGMOID)
    assert (dpo.beta, dpo.learning_rate, dpo.batch_size) == (0.1, 1e-6, 64)
    delta = PreferenceOptimization(batch_size=7).resolved(PreferenceLoss.SIGMOID_NORM)
    assert (delta.beta, delta.learning_rate, delta.batch_size) == (5.0, 5e-8, 7)


@pytest.mark.parametrize("changes", [{"samples_per_prompt": 1}, {"samples_per_prompt": 3}])
def test_groups_are_whole(changes: dict):
    values = {"samples_per_prompt": 4, "rollouts": 128, "minibatch_size": 32}
    for optimizer in (PolicyOptimizer.RLOO, PolicyOptimizer.GRPO):
        PolicyOptimization(optimizer=optimizer, **values)
        with pytest.raises(ValidationError, match=f"policy.optimizer {optimizer} compares .* rollouts to a multiple"):
            PolicyOptimization(optimizer=optimizer, **(values | changes))
    PolicyOptimization(optimizer=PolicyOptimizer.PPO, **(values | changes))


def test_only_two_optimizers_learn_from_pairs():
    assert [o.value for o in PolicyOptimizer if o.learns_from_pairs] == ["dpo", "sigmoid_norm"]
    assert [o.value for o in PolicyOptimizer if o.compares_groups] == ["rloo", "grpo"]


def test_the_as_is_model_is_one_plain_reward_model():
    plain = RewardTraining(ensemble=3, rank_margin=0.5, likelihood=LikelihoodFeature.ADDED).plain()
    assert (plain.ensemble, plain.rank_margin, plain.likelihood) == (1, 0.0, LikelihoodFeature.OFF)
