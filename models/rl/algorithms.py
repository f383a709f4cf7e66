"""The algorithms that optimise the policy: PPO (ALMoST section 2.3), RLOO, GRPO, DPO and length-normalised DPO.

PPO averages its losses over tokens; RLOO and GRPO average theirs over responses, and have no value head: a response is
compared with the other responses to its prompt, which stand next to it. The arithmetic is in `ppo_math.py` and
`group_math.py`. To add an algorithm: its settings (`data_contracts/config/policy/settings.py`), its spec (`data_contracts/specs`),
and its class here.
"""

from typing import overload

from torch import Tensor

from data_contracts.config.policy.rewards import KLEstimator
from data_contracts.specs.optimize_by_preferences import DPOSpec, PreferenceSpec, SigmoidNormSpec
from data_contracts.specs.optimize_policy import GRPOSpec, OptimizePolicySpec, PPOSpec, RLOOSpec
from models.rl.algorithm import Advantages, Loss, PairAlgorithm, Part, RewardAlgorithm, SampledStep
from models.rl.group_math import kl_loss, leave_one_out, response_loss, standardize_groups, token_shares
from models.rl.ppo_math import gae, kl_per_token, policy_loss, rewards_with_kl, value_loss, whiten
from models.rl.value_head import ValueLearning


class PPO(RewardAlgorithm):
    """Clipped policy and value losses on generalised advantages (Schulman et al. 2016 and 2017)."""

    needs_value_head = True

    def __init__(self, spec: PPOSpec) -> None:
        self.spec = spec

    @property
    def value_learning(self) -> ValueLearning:
        """The value head's own learning rate and limit, the policy's where they are empty."""
        spec = self.spec
        return ValueLearning(
            detach=spec.detach_value,
            learning_rate=spec.value_learning_rate or spec.learning_rate,
            max_grad_norm=spec.value_max_grad_norm or spec.max_grad_norm,
            weight_decay=spec.weight_decay,
            warmup_steps=spec.value_warmup_steps,
        )

    def advantages(self, step: SampledStep) -> Advantages:
        """GAE on rewards that hold the KL's price, whitened over the step where asked for."""
        spec = self.spec
        rewards = _rewards(step, spec.kl_estimator)
        if spec.whiten_rewards:
            rewards = whiten(rewards, step.mask, shift_mean=False)
        advantages, returns = gae(rewards, step.values, step.mask, spec.gamma, spec.gae_lambda)
        if spec.whiten_advantages:
            advantages = whiten(advantages, step.mask)
        return Advantages(rewards, advantages, returns)

    def loss(self, part: Part, logprobs: Tensor, values: Tensor, value_only: bool = False) -> Loss:
        """The clipped surrogate and the clipped value loss, both per token."""
        spec, tokens = self.spec, part.size.tokens
        mask = part.batch.response_mask * part.weights.unsqueeze(1)
        surrogate, clipped = policy_loss(logprobs, part.logprobs, part.advantages, mask, spec.clip_range, tokens)
        error, value_clipped = value_loss(values, part.values, part.returns, mask, spec.value_clip_range, tokens)
        loss = spec.value_coefficient * error
        measured = {"value_loss": float(error.detach()), "value_clip_fraction": float(value_clipped) / tokens}
        return loss if value_only else loss + surrogate, measured | _figures(surrogate, clipped, tokens)


class RLOO(RewardAlgorithm):
    """REINFORCE with the mean of the prompt's other responses as baseline (Ahmadian et al. 2024)."""

    def __init__(self, spec: RLOOSpec) -> None:
        self.spec = spec

    def advantages(self, step: SampledStep) -> Advantages:
        """A response's whole reward, KL included, less the mean of the others."""
        rewards = _rewards(step, self.spec.kl_estimator)
        return _same_for_all_tokens(step, rewards, leave_one_out(_groups(rewards.sum(dim=1), self.spec)))

    def loss(self, part: Part, logprobs: Tensor, values: Tensor, value_only: bool = False) -> Loss:
        """The clipped surrogate with one ratio per response."""
        mask, advantages, rows = part.batch.response_mask, part.advantages[:, 0], part.size.rows
        loss, clipped = response_loss(
            logprobs, part.logprobs, advantages, mask, part.weights, self.spec.clip_range, rows
        )
        return loss, _figures(loss, clipped, rows)


class GRPO(RewardAlgorithm):
    """Scores standardised within the prompt's responses; the KL is part of the loss (DeepSeekMath, 2402.03300)."""

    def __init__(self, spec: GRPOSpec) -> None:
        self.spec = spec

    def advantages(self, step: SampledStep) -> Advantages:
        """The standardised scores; rewards are reported with the KL's price, nothing learns from that."""
        return _same_for_all_tokens(
            step, _rewards(step, KLEstimator.K1), standardize_groups(_groups(step.scores, self.spec))
        )

    def loss(self, part: Part, logprobs: Tensor, values: Tensor, value_only: bool = False) -> Loss:
        """The clipped surrogate and k3, both averaged over each response's tokens first."""
        mask, rows = part.batch.response_mask, part.size.rows
        shares = token_shares(mask, part.weights)
        surrogate, clipped = policy_loss(logprobs, part.logprobs, part.advantages, shares, self.spec.clip_range, rows)
        kl = kl_loss(logprobs, part.logprobs, part.reference, mask, shares, rows)
        loss = surrogate + part.kl_coefficient * kl
        return loss, _figures(surrogate, clipped, rows) | {"kl_loss": float(kl.detach())}


class DPO(PairAlgorithm):
    """Direct preference optimisation (Rafailov et al. 2023): log-ratios summed over an answer's tokens."""

    trl_loss = "sigmoid"


class SigmoidNorm(PairAlgorithm):
    """DPO with log-ratios averaged over an answer's tokens: the loss of delta learning (2507.06187)."""

    trl_loss = "sigmoid_norm"


@overload
def algorithm_of(spec: OptimizePolicySpec) -> RewardAlgorithm: ...
@overload
def algorithm_of(spec: PreferenceSpec) -> PairAlgorithm: ...
def algorithm_of(spec: OptimizePolicySpec | PreferenceSpec) -> RewardAlgorithm | PairAlgorithm:
    """The algorithm that a job's spec asks for, with its settings."""
    match spec:
        case PPOSpec():
            return PPO(spec)
        case RLOOSpec():
            return RLOO(spec)
        case GRPOSpec():
            return GRPO(spec)
        case DPOSpec():
            return DPO()
        case SigmoidNormSpec():
            return SigmoidNorm()
    raise TypeError(f"no algorithm is known for {type(spec).__name__}")


def _rewards(step: SampledStep, estimator: KLEstimator) -> Tensor:
    kl = kl_per_token(step.logprobs, step.reference, step.mask, estimator)
    return rewards_with_kl(step.scores, kl, step.kl_coefficient, step.mask)


def _groups(per_response: Tensor, spec: OptimizePolicySpec) -> Tensor:
    """(B,) -> (P, N): the N responses to each of P prompts."""
    return per_response.view(-1, spec.samples_per_prompt)


def _same_for_all_tokens(step: SampledStep, rewards: Tensor, groups: Tensor) -> Advantages:
    """The advantages (P, N) of whole responses as those of their tokens; without a value head returns are the values."""
    return Advantages(rewards, groups.view(-1, 1) * step.mask, step.values)


def _figures(surrogate: Tensor, clipped: Tensor, count: float) -> dict[str, float]:
    return {"policy_loss": float(surrogate.detach()), "clip_fraction": float(clipped) / count}
