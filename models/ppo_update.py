"""Updates of PPO: several passes of clipped updates over one step's experience."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from data_contracts.errors import JobError
from data_contracts.training_specs import PPOSpec
from models.ppo_engine import BETAS, PolicyEngine, add_over_ranks
from models.ppo_experience import Experience, Precision
from models.ppo_math import policy_loss, value_loss
from models.ppo_policy import PolicyWithValue
from models.ppo_ranks import Ranks

_EPOCH_ORDER = 11  # name of a random stream beside the seed


class Updater:
    """Clipped PPO updates; the learning rate is a pure function of the update's number.

    Policy and value head are clipped each by its own norm: a young head's gradient is many times the policy's, and under
    one common norm it would scale the policy's away.
    """

    def __init__(
        self,
        policy: PolicyWithValue,
        engine: PolicyEngine,
        factor: Callable[[int], float],
        spec: PPOSpec,
        ranks: Ranks,
    ) -> None:
        """`factor(update)` scales both learning rates."""
        self.policy, self.engine, self.spec, self.ranks = policy, engine, spec, ranks
        policy.training_pass = engine
        self._factor = factor
        self._head_rate = spec.value_learning_rate or spec.learning_rate
        self.head_optimizer = torch.optim.AdamW(
            policy.value_head.parameters(), lr=self._head_rate, betas=BETAS, weight_decay=spec.weight_decay
        )
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
            order = np.random.default_rng([self.spec.seed, _EPOCH_ORDER, step, epoch]).permutation(rows)
            for start in range(0, rows, self.spec.minibatch_size):
                chosen = torch.from_numpy(order[start : start + self.spec.minibatch_size])
                for name, value in self._minibatch(experience, chosen, step).items():
                    totals[name] = totals.get(name, 0.0) + value
                updates += 1
        return {name: value / updates for name, value in totals.items()}

    def _minibatch(self, experience: Experience, chosen: Tensor, step: int) -> dict[str, float]:
        """One update on the chosen rollouts; this rank runs its share of them."""
        tokens = float(experience.batch.response_mask[chosen].sum())
        value_only = step <= self.spec.value_warmup_steps
        parts = self._shares(experience, chosen)
        measured: dict[str, float] = {}
        for number, (rows, weights) in enumerate(parts):
            loss, found = self._loss(experience, rows, weights, tokens, value_only)
            if value_only:
                loss.backward()
            else:
                self.engine.backward(loss, last=number + 1 == len(parts))
            for name, value in found.items():
                measured[name] = measured.get(name, 0.0) + value
        measured = self.ranks.total(measured)
        self._check(measured, chosen, step)
        rate = self._factor(self.update)
        norms = {"grad_norm": 0.0 if value_only else self.engine.step(self.spec.learning_rate * rate)}
        norms["value_grad_norm"] = self._step_head(rate, 1.0 if value_only else self.engine.gradient_scale)
        self._check(norms, chosen, step)
        self.update += 1
        return measured | norms | {"lr": self.spec.learning_rate * rate}

    def _shares(self, experience: Experience, chosen: Tensor) -> list[tuple[Tensor, Tensor]]:
        """This rank's micro-batches: rows, and weights that are 0 for a row which only keeps the ranks in step.

        Rows of like length come together: less padding, the same sum.
        """
        own = self.ranks.own(len(chosen))
        lengths = experience.batch.attention[chosen].sum(dim=1)
        order = sorted(range(len(chosen)), key=lambda i: (int(lengths[i]), i))
        rows = chosen[[order[place] for place in own]]
        real = [place * self.ranks.world + self.ranks.rank < len(chosen) for place in range(len(own))]
        size = self.spec.micro_batch_size
        return list(zip(rows.split(size), torch.tensor(real).split(size), strict=True))

    def _check(self, measured: dict[str, float], chosen: Tensor, step: int) -> None:
        if not np.isfinite(list(measured.values())).all():
            raise JobError(
                f"PPO step {step}, update {self.update}: {measured}; rollouts "
                f"{', '.join(f'{step}-{i}' for i in chosen.tolist()[:8])} ...; lower learning_rate or clip the scores"
            )

    def _step_head(self, rate: float, scale: float) -> float:
        """Clip and update the value head; returns its gradient's norm before clipping."""
        head = list(self.policy.value_head.parameters())
        if self.ranks.world > 1:
            add_over_ranks(head)
        for parameter in head:
            assert parameter.grad is not None
            parameter.grad /= scale
        norm = torch.nn.utils.clip_grad_norm_(head, self.spec.value_max_grad_norm or self.spec.max_grad_norm)
        for group in self.head_optimizer.param_groups:
            group["lr"] = self._head_rate * rate
        self.head_optimizer.step()
        self.head_optimizer.zero_grad(set_to_none=True)
        return float(norm)

    def _loss(
        self, experience: Experience, rows: Tensor, weights: Tensor, tokens: float, value_only: bool
    ) -> tuple[Tensor, dict[str, float]]:
        """A micro-batch's share of the mini-batch's loss (sums over tokens / `tokens`), and what it measured."""
        spec = self.spec
        part = experience.rows(rows, self.device)
        mask = part.batch.response_mask * weights.to(self.device).unsqueeze(1)
        with self._precision():
            logprobs, values, entropy = self.policy(
                part.batch, spec.temperature, allowed=part.allowed, value_only=value_only
            )
        surrogate, clipped = policy_loss(logprobs, part.logprobs, part.advantages, mask, spec.clip_range, tokens)
        error, value_clipped = value_loss(
            values.float(), part.values, part.returns, mask, spec.value_clip_range, tokens
        )
        bonus = (entropy * mask).sum() / tokens
        loss = spec.value_coefficient * error
        if not value_only:
            loss = loss + surrogate - spec.entropy_coefficient * bonus
        change = torch.where(mask.bool(), logprobs - part.logprobs, 0.0).detach()
        return loss, {
            "loss": float(loss.detach()),
            "policy_loss": float(surrogate.detach()),
            "value_loss": float(error.detach()),
            "entropy": float(bonus.detach()),
            "clip_fraction": float(clipped) / tokens,
            "value_clip_fraction": float(value_clipped) / tokens,
            "approx_kl": float((0.5 * change.square()).sum()) / tokens,
        }
