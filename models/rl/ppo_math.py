"""PPO's arithmetic as pure functions (ALMoST section 2.3; Schulman et al. 2017; Ziegler et al. 2019).

Shapes: B rollouts, T response positions. `mask` (B, T) is 1 on real response tokens (the sampled end token included)
and 0 on padding; real tokens come first. Whatever stands at padded positions has no influence on any result.

Departures from the textbook: 1. sums over tokens are divided by a global token count that the caller gives, so that
micro-batches add up to exactly the whole batch's gradient. 2. Only sampled tokens are looked at, so the KL is
estimated; the estimators are those of Schulman's note "Approximating KL divergence" (2020).
"""

import torch
from torch import Tensor

from data_contracts.config.policy.rewards import KLEstimator


def kl_per_token(
    logprobs: Tensor, reference_logprobs: Tensor, mask: Tensor, estimator: KLEstimator = KLEstimator.K1
) -> Tensor:
    """Estimates of KL(pi || rho) at the sampled tokens, with d = log pi(y_t) - log rho(y_t): (B, T), 0 on padding.

    k1 = d (unbiased, may be negative on a token); k2 = d^2 / 2 (biased, small variance); k3 = exp(-d) - 1 + d (unbiased
    and never negative).
    """
    d = torch.where(mask.bool(), logprobs - reference_logprobs, 0.0)
    match estimator:
        case KLEstimator.K1:
            return d
        case KLEstimator.K2:
            return 0.5 * d.square()
        case KLEstimator.K3:
            return torch.expm1(-d) + d


def rewards_with_kl(scores: Tensor, kl: Tensor, kl_coefficient: float, mask: Tensor) -> Tensor:
    """Per-token rewards: -coefficient * KL everywhere, and the score on the last real token.

    scores (B,), kl (B, T), mask (B, T) -> (B, T). Every row needs at least one real token.
    """
    rewards = -kl_coefficient * kl * mask  # (B, T)
    last = mask.long().sum(dim=1, keepdim=True) - 1  # (B, 1)
    return rewards.scatter_add(1, last, scores.unsqueeze(1).to(rewards.dtype))


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman et al. 2016).

    delta_t = r_t + gamma V_{t+1} - V_t and A_t = delta_t + gamma lam A_{t+1}, with V and A zero after the last token.
    All (B, T); returns advantages and returns (advantages + values), both 0 on padding.
    """
    keep = mask.to(values.dtype)
    values, rewards = values * keep, rewards * keep
    advantages = torch.zeros_like(values)
    following = torch.zeros_like(values[:, 0])  # A_{t+1}, (B,)
    next_value = torch.zeros_like(values[:, 0])  # V_{t+1}, (B,)
    for t in range(values.shape[1] - 1, -1, -1):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        following = (delta + gamma * lam * following) * keep[:, t]
        advantages[:, t] = following
        next_value = values[:, t]
    return advantages, advantages + values


def whiten(x: Tensor, mask: Tensor, *, shift_mean: bool = True, epsilon: float = 1e-8) -> Tensor:
    """Scale real positions of x (B, T) to variance 1 (population), and mean 0 unless `shift_mean` is off."""
    keep = mask.to(x.dtype)
    count = keep.sum()
    mean = (x * keep).sum() / count
    variance = ((x - mean).square() * keep).sum() / count
    scaled = (x - mean) * torch.rsqrt(variance + epsilon)
    return (scaled if shift_mean else scaled + mean) * keep


def policy_loss(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, clip_range: float, token_count: float
) -> tuple[Tensor, Tensor]:
    """Clipped surrogate: sum of max(-A r, -A clip(r, 1 - c, 1 + c)) over tokens, divided by `token_count`.

    All tensors (B, T). Returns the loss and the number of tokens where the clipped branch was the larger one.
    """
    keep = mask.to(logprobs.dtype)
    ratio = torch.exp(torch.where(mask.bool(), logprobs - old_logprobs, 0.0))  # (B, T)
    plain = -advantages * ratio
    clipped = -advantages * ratio.clamp(1.0 - clip_range, 1.0 + clip_range)
    loss = (torch.maximum(plain, clipped) * keep).sum() / token_count
    return loss, ((clipped > plain) * keep).sum().detach()


def value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip_range: float, token_count: float
) -> tuple[Tensor, Tensor]:
    """Half the larger of the squared errors of V and of V clipped to old V +- c, summed and divided by `token_count`.

    All tensors (B, T). Returns the loss and the number of tokens where the clipped branch was the larger one.
    """
    keep = mask.to(values.dtype)
    near = old_values + (values - old_values).clamp(-clip_range, clip_range)
    plain = (values - returns).square()
    clipped = (near - returns).square()
    loss = 0.5 * (torch.maximum(plain, clipped) * keep).sum() / token_count
    return loss, ((clipped > plain) * keep).sum().detach()


def adapt_kl_coefficient(coefficient: float, kl: float, target: float, rollouts: int, horizon: int) -> float:
    """Ziegler et al. 2019, section 2.2: multiply by 1 + clip(kl / target - 1, -0.2, 0.2) * rollouts / horizon.

    `kl` and `target` in nats per response.
    """
    error = min(max(kl / target - 1.0, -0.2), 0.2)
    return coefficient * (1.0 + error * rollouts / horizon)
