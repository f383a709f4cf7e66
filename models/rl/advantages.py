"""How good each sampled token was: by a value head (PPO), or by the other responses to the same prompt (RLOO, GRPO)."""

from torch import Tensor

from data_contracts.config.policy import PolicyOptimizer
from data_contracts.specs.optimize_policy import PPOSpec
from models.rl.group_math import leave_one_out, standardize_groups
from models.rl.ppo_math import gae, whiten


def advantages_of(
    spec: PPOSpec, scores: Tensor, rewards: Tensor, values: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Advantages and returns of a whole step's rollouts, both (B, T) and 0 on padding.

    `scores` (B,) are the shaped scores alone; `rewards` (B, T) hold them and the KL's price. Without a value head the
    returns are the values, 0: nothing learns from them.
    """
    match spec.optimizer:
        case PolicyOptimizer.RLOO:
            found = leave_one_out(rewards.sum(dim=1).view(-1, spec.samples_per_prompt))
        case PolicyOptimizer.GRPO:
            found = standardize_groups(scores.view(-1, spec.samples_per_prompt))
        case _:
            return _by_values(spec, rewards, values, mask)
    return found.view(-1, 1) * mask, values


def _by_values(spec: PPOSpec, rewards: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    advantages, returns = gae(rewards, values, mask, spec.gamma, spec.gae_lambda)
    if spec.whiten_advantages:
        advantages = whiten(advantages, mask)
    return advantages, returns
