"""One PPO step on a batch of rollouts: advantages once, then several passes of clipped updates."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_contracts.errors import JobError
from data_contracts.training_specs import PPOSpec
from models.ppo_math import gae, kl_per_token, policy_loss, rewards_with_kl, value_loss, whiten
from models.ppo_policy import PolicyWithValue, TokenBatch, reference_logprobs
from models.ppo_prompts import Prompt


@dataclass
class Experience:
    """A step's rollouts with all that the updates need; every tensor but the batch's ids is (B, T)."""

    batch: TokenBatch
    logprobs: Tensor
    values: Tensor
    kl: Tensor
    rewards: Tensor
    advantages: Tensor
    returns: Tensor


class Precision:
    """Runs forward passes in bfloat16 where the spec asks for it."""

    def __init__(self, device: torch.device, bf16: bool) -> None:
        self._device, self._bf16 = device, bf16

    def __call__(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self._device.type, torch.bfloat16) if self._bf16 else contextlib.nullcontext()


@torch.no_grad()
def gather_experience(
    policy: PolicyWithValue, reference: Any, batch: TokenBatch, scores: Tensor, spec: PPOSpec, kl_coefficient: float
) -> Experience:
    """Log-probabilities, values, KL, rewards and advantages of freshly sampled rollouts.

    `scores` (B,) join each row's last real token.
    """
    device = policy.value_head.weight.device
    precision = Precision(device, spec.training.bf16)
    shape = batch.response_mask.shape
    logprobs, values, reference_values = (torch.zeros(shape) for _ in range(3))
    for rows in torch.arange(shape[0]).split(spec.micro_batch_size):
        part = batch.rows(rows).to(device)
        width = part.response_mask.shape[1]
        with precision():
            ours, value, _ = policy(part, spec.temperature)
            theirs = reference_logprobs(reference, part, spec.temperature)
        for target, source in ((logprobs, ours), (values, value), (reference_values, theirs)):
            target[rows, :width] = source.float().cpu()
    mask = batch.response_mask
    kl = kl_per_token(logprobs, reference_values, mask)
    rewards = rewards_with_kl(scores, kl, kl_coefficient, mask)
    if spec.whiten_rewards:
        rewards = whiten(rewards, mask, shift_mean=False)
    advantages, returns = gae(rewards, values, mask, spec.gamma, spec.gae_lambda)
    if spec.whiten_advantages:
        advantages = whiten(advantages, mask)
    return Experience(batch, logprobs, values, kl, rewards, advantages, returns)


def check_finite(experience: Experience, step: int, prompts: Sequence[Prompt]) -> None:
    """Raise JobError, naming step and prompts, when a rollout's numbers are not all finite."""
    numbers = (experience.logprobs, experience.values, experience.rewards, experience.advantages)
    bad = ~torch.stack([torch.isfinite(part).all(dim=1) for part in numbers]).all(dim=0)  # (B,)
    if bool(bad.any()):
        names = [prompts[i].prompt_id for i in bad.nonzero().flatten().tolist()]
        raise JobError(
            f"PPO step {step}: {len(names)} of {len(prompts)} rollouts have a reward, value or log-probability that is "
            f"not finite; prompts {', '.join(names[:8])} ...; lower learning_rate or clip the scores"
        )


class Updater:
    """Clipped PPO updates; the learning rate is a pure function of the update's number."""

    def __init__(self, policy: PolicyWithValue, optimizer: torch.optim.Optimizer, rates: Any, spec: PPOSpec) -> None:
        """`rates(update) -> factor` scales each parameter group's own learning rate."""
        self.policy, self.optimizer, self.spec = policy, optimizer, spec
        self._rates, self._base = rates, [group["lr"] for group in optimizer.param_groups]
        self.device = policy.value_head.weight.device
        self._precision = Precision(self.device, spec.training.bf16)
        self.update = 0

    def step(self, experience: Experience, step: int) -> dict[str, float]:
        """All epochs over one step's rollouts; returns means over the updates.

        In the first `value_warmup_steps` steps only the value head learns.

        Raises:
            JobError: a loss or the gradient norm is not finite.
        """
        rows = experience.batch.response_mask.shape[0]
        totals: dict[str, float] = {}
        updates = 0
        for epoch in range(self.spec.epochs):
            order = np.random.default_rng([self.spec.seed, 11, step, epoch]).permutation(rows)
            for start in range(0, rows, self.spec.minibatch_size):
                chosen = torch.from_numpy(order[start : start + self.spec.minibatch_size])
                for name, value in self._minibatch(experience, chosen, step).items():
                    totals[name] = totals.get(name, 0.0) + value
                updates += 1
        return {name: value / updates for name, value in totals.items()}

    def _minibatch(self, experience: Experience, chosen: Tensor, step: int) -> dict[str, float]:
        tokens = float(experience.batch.response_mask[chosen].sum())
        factor = self._rates(self.update)
        for group, base in zip(self.optimizer.param_groups, self._base, strict=True):
            group["lr"] = base * factor
        self.optimizer.zero_grad(set_to_none=True)
        measured: dict[str, float] = {}
        for rows in chosen.split(self.spec.micro_batch_size):
            loss, parts = self._loss(experience, rows, tokens, step <= self.spec.value_warmup_steps)
            loss.backward()
            for name, value in parts.items():
                measured[name] = measured.get(name, 0.0) + value
        norms = self._clip_gradients()
        if not np.isfinite([*norms.values(), *measured.values()]).all():
            raise JobError(
                f"PPO step {step}, update {self.update}: {norms | measured}; rollouts "
                f"{', '.join(f'{step}-{i}' for i in chosen.tolist()[:8])} ...; lower learning_rate or clip the scores"
            )
        self.optimizer.step()
        self.update += 1
        return measured | norms | {"lr": self.optimizer.param_groups[0]["lr"]}

    def _clip_gradients(self) -> dict[str, float]:
        """Clip policy and value head each by its own norm; the norms before that.

        A young head's gradient is many times the policy's: under one common norm it would scale the policy's away.
        """
        spec = self.spec
        head = list(self.policy.value_head.parameters())
        trunk = [p for p in self.policy.model.parameters() if p.grad is not None]
        norm = torch.nn.utils.clip_grad_norm_(trunk, spec.max_grad_norm) if trunk else 0.0
        head_norm = torch.nn.utils.clip_grad_norm_(head, spec.value_max_grad_norm or spec.max_grad_norm)
        return {"grad_norm": float(norm), "value_grad_norm": float(head_norm)}

    def _loss(
        self, experience: Experience, rows: Tensor, tokens: float, value_only: bool
    ) -> tuple[Tensor, dict[str, float]]:
        """A micro-batch's share of the mini-batch's loss (sums over tokens / `tokens`), and what it measured."""
        spec = self.spec
        batch = experience.batch.rows(rows).to(self.device)
        mask, width = batch.response_mask, batch.response_mask.shape[1]
        old_logprobs, old_values, advantages, returns = (
            whole[rows, :width].to(self.device)
            for whole in (experience.logprobs, experience.values, experience.advantages, experience.returns)
        )
        with self._precision():
            logprobs, values, entropy = self.policy(batch, spec.temperature, detach_value=value_only)
        surrogate, clipped = policy_loss(logprobs, old_logprobs, advantages, mask, spec.clip_range, tokens)
        error, value_clipped = value_loss(values.float(), old_values, returns, mask, spec.value_clip_range, tokens)
        bonus = (entropy * mask).sum() / tokens
        loss = spec.value_coefficient * error
        if not value_only:
            loss = loss + surrogate - spec.entropy_coefficient * bonus
        change = torch.where(mask.bool(), logprobs - old_logprobs, 0.0).detach()
        return loss, {
            "loss": float(loss.detach()),
            "policy_loss": float(surrogate.detach()),
            "value_loss": float(error.detach()),
            "entropy": float(bonus.detach()),
            "clip_fraction": float(clipped) / tokens,
            "value_clip_fraction": float(value_clipped) / tokens,
            "approx_kl": float((0.5 * change.square()).sum()) / tokens,
        }
