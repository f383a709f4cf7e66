"""RLOO's and GRPO's arithmetic as pure functions (Ahmadian et al. 2024; DeepSeekMath, 2402.03300).

Both judge a response by the other responses to its prompt, so they need no value head. Shapes as in `models/rl/ppo_math.py`;
P prompts with N responses each, the responses to one prompt next to each other.

RLOO treats a response as one action: one probability ratio, one clip, its KL in the reward. GRPO has a ratio per token,
averaged over each response first, and its KL (k3) in the loss.

Departures, TRL's both: 1. RLOO's paper updates once per sampling; with several passes its ratio is clipped as in PPO.
2. GRPO's k3 is multiplied by the token's ratio (DeepSeek-V3.2, 2512.02556), which makes its gradient that of the KL.
"""

import torch
from torch import Tensor

from data_contracts.config.policy.rewards import KLEstimator
from models.rl.ppo_math import kl_per_token, policy_loss


def leave_one_out(rewards: Tensor) -> Tensor:
    """RLOO's advantages (P, N): each reward less the mean of the other N - 1."""
    others = (rewards.sum(dim=1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
    return rewards - others


def standardize_groups(scores: Tensor, epsilon: float = 1e-4) -> Tensor:
    """GRPO's advantages (P, N): scores less their prompt's mean, over its sample standard deviation + epsilon (TRL's)."""
    spread = scores.std(dim=1, keepdim=True)
    return (scores - scores.mean(dim=1, keepdim=True)) / (spread + epsilon)


def response_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    weights: Tensor,
    clip_range: float,
    row_count: float,
) -> tuple[Tensor, Tensor]:
    """RLOO's clipped surrogate with one ratio per response, summed over rows and divided by `row_count`.

    Log-probabilities and mask (B, T), advantages and row weights (B,). Returns the loss and the weight of the rows whose
    clipped branch was the larger one.
    """
    now, then = (torch.where(mask.bool(), part, 0.0).sum(dim=1, keepdim=True) for part in (logprobs, old_logprobs))
    return policy_loss(now, then, advantages.unsqueeze(1), weights.unsqueeze(1), clip_range, row_count)


def token_shares(mask: Tensor, weights: Tensor) -> Tensor:
    """What each token counts in GRPO's loss, (B, T): its row's weight, shared out evenly over the row's tokens."""
    return mask * (weights / mask.sum(dim=1)).unsqueeze(1)


def kl_loss(
    logprobs: Tensor, old_logprobs: Tensor, reference: Tensor, mask: Tensor, shares: Tensor, row_count: float
) -> Tensor:
    """GRPO's KL term before its coefficient: ratio x k3 of the current policy, summed by `shares` over `row_count`.

    `reference` (B, T) are the reference's log-probabilities.
    """
    ratio = torch.exp(torch.where(mask.bool(), logprobs - old_logprobs, 0.0))
    return (ratio * kl_per_token(logprobs, reference, mask, KLEstimator.K3) * shares).sum() / row_count
