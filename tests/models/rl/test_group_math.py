"""RLOO's and GRPO's advantages and losses against examples worked by hand; TRL's own numbers are in `jobs/`."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.rl.group_math import kl_loss, leave_one_out, response_loss, standardize_groups, token_shares
from models.rl.ppo_math import policy_loss

LN2 = math.log(2.0)


def test_a_response_is_compared_with_the_mean_of_the_others() -> None:
    """Rewards 1, 2, 6: the others' means are 4, 3.5 and 1.5."""
    found = leave_one_out(torch.tensor([[1.0, 2.0, 6.0], [5.0, 5.0, 5.0]]))
    torch.testing.assert_close(found, torch.tensor([[-3.0, -1.5, 4.5], [0.0, 0.0, 0.0]]))


def test_groups_are_standardised_by_the_sample_deviation() -> None:
    """Scores 1, 3: mean 2, sample variance ((-1)^2 + 1^2) / 1 = 2. Scores that are all alike teach nothing."""
    found = standardize_groups(torch.tensor([[1.0, 3.0], [7.0, 7.0]]), epsilon=0.0)[0]
    torch.testing.assert_close(found, torch.tensor([-1.0, 1.0]) / math.sqrt(2.0))
    assert standardize_groups(torch.tensor([[7.0, 7.0, 7.0]])).tolist() == [[0.0, 0.0, 0.0]]


@given(
    rewards=st.lists(st.floats(-50, 50), min_size=2, max_size=6), shift=st.floats(-50, 50), scale=st.floats(0.1, 10.0)
)
def test_what_all_responses_share_cancels(rewards: list[float], shift: float, scale: float) -> None:
    group = torch.tensor([rewards], dtype=torch.float64)
    for advantages in (leave_one_out, standardize_groups):
        found = advantages(group)
        assert float(found.sum()) == pytest.approx(0.0, abs=1e-6)
        torch.testing.assert_close(advantages(group + shift), found, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(leave_one_out(scale * group), scale * leave_one_out(group))


def test_rloo_clips_the_ratio_of_a_whole_response() -> None:
    """Two tokens, each 2^(1/2) times as likely as before: the ratio is 2, above 1.2, so A = 1 gives -1.2 and A = -1 gives 2.

    The second row is half as long; what stands on its padding does not matter, and a row of weight 0 does not count.
    """
    mask = torch.tensor([[1, 1], [1, 0], [1, 1]])
    now = torch.tensor([[LN2 / 2, LN2 / 2], [LN2, 99.0], [5.0, 5.0]], requires_grad=True)
    loss, clipped = response_loss(
        now, torch.zeros(3, 2), torch.tensor([1.0, -1.0, 3.0]), mask, torch.tensor([1.0, 1.0, 0.0]), 0.2, 2.0
    )
    assert loss.item() == pytest.approx((-1.2 + 2.0) / 2)
    assert float(clipped) == 1.0
    loss.backward()
    assert now.grad is not None
    torch.testing.assert_close(now.grad, torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]))


def test_grpo_averages_over_a_response_before_it_averages_over_responses() -> None:
    """Ratio 1, A = 1 and 4, lengths 2 and 1: (1 + 4) / 2, where PPO's mean over tokens would be (1 + 1 + 4) / 3."""
    mask, advantages = torch.tensor([[1, 1], [1, 0]]), torch.tensor([[1.0, 1.0], [4.0, 0.0]])
    shares = token_shares(mask, torch.tensor([1.0, 1.0]))
    assert shares.tolist() == [[0.5, 0.5], [1.0, 0.0]]
    loss, _ = policy_loss(torch.zeros(2, 2), torch.zeros(2, 2), advantages, shares, 0.2, 2.0)
    assert loss.item() == pytest.approx(-2.5)
    assert token_shares(mask, torch.tensor([1.0, 0.0])).tolist() == [[0.5, 0.5], [0.0, 0.0]]


def test_grpos_kl_is_k3_with_the_gradient_of_the_kl() -> None:
    """d = log 2: k3 = log 2 - 1/2. With the ratio 1 in front its derivative is k3 + (1 - 1/2) = log 2 = d, as the KL's is.

    Half as likely as when it was sampled, the token counts half as much.
    """
    now = torch.tensor([[LN2, 0.0]], requires_grad=True)
    mask = torch.tensor([[1, 1]])
    shares = token_shares(mask, torch.ones(1))
    kl = kl_loss(now, now.detach(), torch.zeros(1, 2), mask, shares, 1.0)
    assert kl.item() == pytest.approx((LN2 - 0.5) / 2)
    kl.backward()
    assert now.grad is not None
    torch.testing.assert_close(now.grad, torch.tensor([[LN2 / 2, 0.0]]))
    later = kl_loss(now.detach(), now.detach() + LN2, torch.zeros(1, 2), mask, shares, 1.0)
    assert later.item() == pytest.approx((LN2 - 0.5) / 4)
