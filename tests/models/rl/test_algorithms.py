"""Algorithms as classes: which one a spec asks for, what it needs, and its advantages worked by hand."""

from pathlib import Path
from typing import Any

import pytest
import torch

from data_contracts.config.algorithm import Algorithm
from data_contracts.errors import ConfigError
from data_contracts.specs.optimize_by_preferences import PREFERENCE_SPECS
from data_contracts.specs.optimize_policy import POLICY_SPECS, OptimizePolicySpec, RewardModelSource
from models.rl.algorithm import SampledStep
from models.rl.algorithms import DPO, GRPO, PPO, RLOO, SigmoidNorm, algorithm_of
from models.rl.scoring import open_scorer

PLACE: dict[str, Any] = {"output_dir": Path("/out"), "work_dir": Path("/work"), "seed": 1}
CPU = torch.device("cpu")


def spec_of(algorithm: str, **changes: Any) -> OptimizePolicySpec:
    scorer = RewardModelSource(folder=Path("/r"))
    values = PLACE | {"policy": Path("/m"), "prompts": (Path("/p"),), "scorer": scorer}
    return POLICY_SPECS[Algorithm(algorithm)](**(values | {"rollouts": 4, "minibatch_size": 4} | changes))


def step(scores: list[float], kl: float = 0.0) -> SampledStep:
    """Responses of two tokens, the last one's second token padding; the policy is `kl` above the reference everywhere."""
    shape = (len(scores), 2)
    mask = torch.ones(shape)
    mask[-1, 1] = 0
    zeros = torch.zeros(shape)
    return SampledStep(torch.tensor(scores), zeros, zeros - kl, zeros, mask, kl_coefficient=0.5)


def test_a_spec_has_one_algorithm():
    for name, kind in (("ppo", PPO), ("rloo", RLOO), ("grpo", GRPO)):
        algorithm = algorithm_of(spec_of(name, **({} if name == "ppo" else {"samples_per_prompt": 2})))
        assert type(algorithm) is kind
        assert algorithm.needs_value_head == (algorithm.value_learning is not None) == (kind is PPO)
    for name, kind, loss in (("dpo", DPO, "sigmoid"), ("sigmoid_norm", SigmoidNorm, "sigmoid_norm")):
        spec = PREFERENCE_SPECS[Algorithm(name)](**PLACE, base_model=Path("/m"), pairs=(Path("/p"),))
        pairs = algorithm_of(spec)
        assert type(pairs) is kind
        assert (pairs.trl_loss, pairs.needs_value_head) == (loss, False)


def test_ppos_value_head_falls_back_on_the_policys_numbers():
    learning = algorithm_of(spec_of("ppo", learning_rate=0.5, max_grad_norm=2.0)).value_learning
    assert learning is not None
    assert (learning.learning_rate, learning.max_grad_norm) == (0.5, 2.0)
    own = algorithm_of(spec_of("ppo", value_learning_rate=0.1, value_max_grad_norm=3.0, value_warmup_steps=4))
    assert own.value_learning is not None
    assert (own.value_learning.learning_rate, own.value_learning.max_grad_norm) == (0.1, 3.0)
    assert own.value_learning.warmup_steps == 4


def test_ppo_discounts_towards_the_scored_token():
    """Score 1 at the last token, values 0, lambda 0.5: advantages 0.5 and 1; the short response has its score at once."""
    algorithm = algorithm_of(spec_of("ppo", gae_lambda=0.5, whiten_advantages=False))
    found = algorithm.advantages(step([1.0, 1.0]))
    torch.testing.assert_close(found.rewards, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    torch.testing.assert_close(found.advantages, torch.tensor([[0.5, 1.0], [1.0, 0.0]]))
    torch.testing.assert_close(found.returns, found.advantages)


def test_rloo_pays_for_kl_in_the_reward_and_grpo_does_not():
    """KL 1 per token at coefficient 0.5: rewards 3 - 1 and 1 - 0.5, leave-one-out 1.5 and -1.5."""
    rloo = algorithm_of(spec_of("rloo", samples_per_prompt=2)).advantages(step([3.0, 1.0], kl=1.0))
    torch.testing.assert_close(rloo.advantages, torch.tensor([[1.5, 1.5], [-1.5, 0.0]]))
    grpo = algorithm_of(spec_of("grpo", samples_per_prompt=2)).advantages(step([3.0, 1.0], kl=1.0))
    half = 0.5**0.5  # one over the sample standard deviation
    torch.testing.assert_close(grpo.advantages, torch.tensor([[half, half], [-half, 0.0]]), atol=1e-4, rtol=0)
    torch.testing.assert_close(grpo.rewards, rloo.rewards)
    assert not grpo.returns.any()


def test_a_scorer_that_nobody_registered_is_told():
    with pytest.raises(ConfigError, match="no scorer is known for str"):
        open_scorer("a friend", spec_of("ppo"), None, CPU)
