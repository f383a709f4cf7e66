"""What an update minimises: PPO's clipped policy and value losses (ALMoST section 2.3), or RLOO's or GRPO's in their place.

Every figure is a sum over a micro-batch's share divided by the size of the whole mini-batch, so that shares add up to
means whatever the number of micro-batches and ranks. PPO averages over tokens; RLOO and GRPO over responses.
"""

from dataclasses import dataclass

from torch import Tensor

from data_contracts.config.policy import PolicyOptimizer
from data_contracts.specs.optimize_policy import PPOSpec
from models.rl.experience import Part
from models.rl.group_math import kl_loss, response_loss, token_shares
from models.rl.ppo_math import policy_loss, value_loss


@dataclass(frozen=True)
class MiniBatchSize:
    """Response tokens and rows of a mini-batch, all ranks together."""

    tokens: float
    rows: float


Loss = tuple[Tensor, dict[str, float]]


def policy_objective(
    spec: PPOSpec,
    part: Part,
    logprobs: Tensor,
    values: Tensor,
    weights: Tensor,
    size: MiniBatchSize,
    value_only: bool = False,
) -> Loss:
    """A micro-batch's share of the loss (without entropy), and what it measured.

    `logprobs` and `values` (b, T) are the current policy's; `weights` (b,) are 0 for rows that do not count. With
    `value_only` PPO's policy loss is measured, but is no part of the loss.
    """
    match spec.optimizer:
        case PolicyOptimizer.RLOO:
            return _by_responses(spec, part, logprobs, weights, size)
        case PolicyOptimizer.GRPO:
            return _by_tokens_of_responses(spec, part, logprobs, weights, size)
        case _:
            mask = part.batch.response_mask * weights.unsqueeze(1)
            return _with_values(spec, part, logprobs, values, mask, size.tokens, value_only)


def _with_values(
    spec: PPOSpec, part: Part, logprobs: Tensor, values: Tensor, mask: Tensor, tokens: float, value_only: bool
) -> Loss:
    surrogate, clipped = policy_loss(logprobs, part.logprobs, part.advantages, mask, spec.clip_range, tokens)
    error, value_clipped = value_loss(values, part.values, part.returns, mask, spec.value_clip_range, tokens)
    loss = spec.value_coefficient * error
    measured = {"value_loss": float(error.detach()), "value_clip_fraction": float(value_clipped) / tokens}
    return loss if value_only else loss + surrogate, measured | _figures(surrogate, clipped, tokens)


def _by_responses(spec: PPOSpec, part: Part, logprobs: Tensor, weights: Tensor, size: MiniBatchSize) -> Loss:
    mask, advantages = part.batch.response_mask, part.advantages[:, 0]  # the same at every token of a response
    loss, clipped = response_loss(logprobs, part.logprobs, advantages, mask, weights, spec.clip_range, size.rows)
    return loss, _figures(loss, clipped, size.rows)


def _by_tokens_of_responses(spec: PPOSpec, part: Part, logprobs: Tensor, weights: Tensor, size: MiniBatchSize) -> Loss:
    mask = part.batch.response_mask
    shares = token_shares(mask, weights)
    surrogate, clipped = policy_loss(logprobs, part.logprobs, part.advantages, shares, spec.clip_range, size.rows)
    kl = kl_loss(logprobs, part.logprobs, part.reference, mask, shares, size.rows)
    loss = surrogate + part.kl_coefficient * kl
    return loss, _figures(surrogate, clipped, size.rows) | {"kl_loss": float(kl.detach())}


def _figures(surrogate: Tensor, clipped: Tensor, count: float) -> dict[str, float]:
    return {"policy_loss": float(surrogate.detach()), "clip_fraction": float(clipped) / count}
