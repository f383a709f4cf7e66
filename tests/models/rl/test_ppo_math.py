"""PPO's arithmetic: cases worked by hand, properties, and agreement with slow reference code."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.config.policy.rewards import KLEstimator
from models.rl.ppo_math import adapt_kl_coefficient, gae, kl_per_token, policy_loss, rewards_with_kl, value_loss, whiten


def rows(*values: list[float]) -> torch.Tensor:
    """A float64 tensor of rows."""
    return torch.tensor(values, dtype=torch.float64)


def test_kl_by_hand() -> None:
    # Token 1 got likelier by a factor 2 (log 2), token 2 less likely by 4 (-log 4), token 3 is padding.
    ours = rows([math.log(0.5), math.log(0.1), -1.0])
    theirs = rows([math.log(0.25), math.log(0.4), float("nan")])
    kl = kl_per_token(ours, theirs, torch.tensor([[1, 1, 0]]))
    torch.testing.assert_close(kl, rows([math.log(2), -math.log(4), 0.0]))


def test_kl_estimators_by_hand() -> None:
    # d = log 2 and -log 4. k2: d^2 / 2. k3: 1/2 - 1 + log 2, and 4 - 1 - log 4.
    ours, theirs = rows([math.log(0.5), math.log(0.1), 9.0]), rows([math.log(0.25), math.log(0.4), -9.0])
    mask = torch.tensor([[1, 1, 0]])
    k2 = kl_per_token(ours, theirs, mask, KLEstimator.K2)
    torch.testing.assert_close(k2, rows([math.log(2) ** 2 / 2, math.log(4) ** 2 / 2, 0.0]))
    k3 = kl_per_token(ours, theirs, mask, KLEstimator.K3)
    torch.testing.assert_close(k3, rows([math.log(2) - 0.5, 3 - math.log(4), 0.0]))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), size=st.integers(2, 9), spread=st.floats(0.01, 3.0))
def test_k1_and_k3_are_unbiased_and_k2_is_close_nearby(seed: int, size: int, spread: float) -> None:
    """Their expectation over every token is torch's own KL divergence; k2's differs only in the third order."""
    draw = np.random.default_rng(seed)
    ours, theirs = (torch.log_softmax(torch.from_numpy(draw.normal(0, spread, size)), 0).unsqueeze(0) for _ in "12")
    true = float(
        torch.distributions.kl_divergence(
            torch.distributions.Categorical(logits=ours[0]), torch.distributions.Categorical(logits=theirs[0])
        )
    )
    mask = torch.ones(1, size)
    mean = {name: float((ours.exp() * kl_per_token(ours, theirs, mask, name)).sum()) for name in KLEstimator}
    assert mean[KLEstimator.K1] == pytest.approx(true, abs=1e-9)
    assert mean[KLEstimator.K3] == pytest.approx(true, abs=1e-9)
    assert bool((kl_per_token(ours, theirs, mask, KLEstimator.K3) >= 0).all())
    if spread < 0.1:
        assert mean[KLEstimator.K2] == pytest.approx(true, rel=0.3, abs=1e-5)


def test_rewards_by_hand() -> None:
    # Row 1 has two real tokens, row 2 three; the score joins the last real one. KL coefficient 0.1.
    kl = rows([1.0, 2.0, 0.0], [0.5, -0.5, 4.0])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    rewards = rewards_with_kl(torch.tensor([3.0, -1.0]), kl, 0.1, mask)
    torch.testing.assert_close(rewards, rows([-0.1, 2.8, 0.0], [-0.05, 0.05, -1.4]))


def test_gae_by_hand() -> None:
    # gamma = lambda = 1/2. Row 1: rewards 1, 2, values 0.5, 1, then padding whose numbers must not matter.
    #   t=1: delta = 2 - 1 = 1, A = 1.        t=0: delta = 1 + 0.5*1 - 0.5 = 1, A = 1 + 0.25*1 = 1.25.
    # Row 2: rewards 0, 0, 4, values 1, 2, 3.
    #   t=2: delta = 4 - 3 = 1, A = 1.  t=1: delta = 0.5*3 - 2 = -0.5, A = -0.5 + 0.25 = -0.25.
    #   t=0: delta = 0.5*2 - 1 = 0, A = 0 - 0.0625.
    rewards, values = rows([1.0, 2.0, 77.0], [0.0, 0.0, 4.0]), rows([0.5, 1.0, -55.0], [1.0, 2.0, 3.0])
    advantages, returns = gae(rewards, values, torch.tensor([[1, 1, 0], [1, 1, 1]]), 0.5, 0.5)
    torch.testing.assert_close(advantages, rows([1.25, 1.0, 0.0], [-0.0625, -0.25, 1.0]))
    torch.testing.assert_close(returns, rows([1.75, 2.0, 0.0], [0.9375, 1.75, 4.0]))


def test_whiten_by_hand() -> None:
    # Real values 1, 3, 5: mean 3, population variance 8/3.
    x, mask = rows([1.0, 3.0, 99.0], [5.0, 99.0, 99.0]), torch.tensor([[1, 1, 0], [1, 0, 0]])
    spread = math.sqrt(8 / 3)
    torch.testing.assert_close(whiten(x, mask), rows([-2 / spread, 0.0, 0.0], [2 / spread, 0.0, 0.0]))
    kept = whiten(x, mask, shift_mean=False)
    torch.testing.assert_close(kept, rows([3 - 2 / spread, 3.0, 0.0], [3 + 2 / spread, 0.0, 0.0]))


def test_policy_loss_by_hand() -> None:
    # Ratios 1.5, 0.5, 1.5, 0.5 with clip 0.2 and advantages +1, +1, -1, -1:
    #   max(-1.5, -1.2) = -1.2 (clipped); max(-0.5, -0.8) = -0.5; max(1.5, 1.2) = 1.5; max(0.5, 0.8) = 0.8 (clipped).
    ratios = rows([math.log(1.5), math.log(0.5), math.log(1.5), math.log(0.5), 50.0])
    mask = torch.tensor([[1, 1, 1, 1, 0]])
    loss, clipped = policy_loss(ratios, torch.zeros_like(ratios), rows([1.0, 1.0, -1.0, -1.0, 9.0]), mask, 0.2, 4.0)
    assert float(loss) == pytest.approx((-1.2 - 0.5 + 1.5 + 0.8) / 4)
    assert float(clipped) == 2


def test_value_loss_by_hand() -> None:
    # Old values 0. V = 0.5 clipped to 0.2: returns 1 -> errors 0.25 and 0.64, the larger counts (clipped).
    # V = 0.1 is inside: returns 0 -> 0.01 both. V = -1 clipped to -0.2: returns 0 -> 1 and 0.04, the plain one counts.
    values, mask = rows([0.5, 0.1, -1.0, 7.0]), torch.tensor([[1, 1, 1, 0]])
    loss, clipped = value_loss(values, torch.zeros_like(values), rows([1.0, 0.0, 0.0, 0.0]), mask, 0.2, 3.0)
    assert float(loss) == pytest.approx(0.5 * (0.64 + 0.01 + 1.0) / 3)
    assert float(clipped) == 1


def test_adaptive_kl_by_hand() -> None:
    # KL 8 at target 4 is 100 % too high, clipped to 20 %: 0.1 * (1 + 0.2 * 100 / 1000).
    assert adapt_kl_coefficient(0.1, 8.0, 4.0, 100, 1000) == pytest.approx(0.102)
    assert adapt_kl_coefficient(0.1, 3.8, 4.0, 100, 1000) == pytest.approx(0.1 * (1 - 0.05 * 0.1))
    assert adapt_kl_coefficient(0.1, 4.0, 4.0, 100, 1000) == pytest.approx(0.1)


def slow_gae(rewards: np.ndarray, values: np.ndarray, lengths: list[int], gamma: float, lam: float) -> np.ndarray:
    """Advantages by their definition: the sum of (gamma lam)^k delta_{t+k}."""
    advantages = np.zeros_like(rewards)
    for row, length in enumerate(lengths):
        ahead = [values[row, t + 1] if t + 1 < length else 0.0 for t in range(length)]
        deltas = [rewards[row, t] + gamma * ahead[t] - values[row, t] for t in range(length)]
        for t in range(length):
            advantages[row, t] = sum((gamma * lam) ** k * deltas[t + k] for k in range(length - t))
    return advantages


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    gamma=st.floats(0.1, 1.0),
    lam=st.floats(0.0, 1.0),
    seed=st.integers(0, 999),
)
def test_gae_equals_its_definition(lengths: list[int], gamma: float, lam: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    rewards, values = draw.normal(size=(2, len(lengths), 7))
    mask = torch.tensor([[int(t < length) for t in range(7)] for length in lengths])
    advantages, returns = gae(torch.from_numpy(rewards), torch.from_numpy(values), mask, gamma, lam)
    np.testing.assert_allclose(advantages, slow_gae(rewards, values, lengths, gamma, lam), atol=1e-12)
    np.testing.assert_allclose(returns, advantages + torch.from_numpy(values) * mask, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), size=st.integers(2, 6))
def test_whitened_numbers_have_mean_0_and_variance_1(seed: int, size: int) -> None:
    draw = np.random.default_rng(seed)
    x = torch.from_numpy(draw.normal(3.0, 5.0, size=(size, 8)))
    mask = torch.from_numpy((draw.random((size, 8)) < 0.7).astype(np.int64))
    mask[0, :2] = 1
    real = whiten(x, mask)[mask.bool()]
    assert float(real.mean()) == pytest.approx(0.0, abs=1e-9)
    assert float(real.var(correction=0)) == pytest.approx(1.0, abs=1e-6)


def test_padding_carries_no_gradient() -> None:
    logprobs = torch.zeros(2, 3, requires_grad=True)
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    loss, _ = policy_loss(logprobs, torch.zeros(2, 3), torch.ones(2, 3), mask, 0.2, 3.0)
    loss.backward()
    assert logprobs.grad is not None
    torch.testing.assert_close(logprobs.grad, -mask.float() / 3.0)
