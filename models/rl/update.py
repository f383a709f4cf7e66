"""Several passes of clipped updates over one step's experience, by the loss of the algorithm (`algorithms.py`)."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from data_contracts.errors import JobError
from data_contracts.specs.optimize_policy import OptimizePolicySpec
from models.distributed.precision import Precision
from models.distributed.ranks import Ranks
from models.distributed.training_engine import TrainingEngine
from models.lm.length_buckets import by_length
from models.rl.algorithm import MiniBatchSize
from models.rl.algorithms import algorithm_of
from models.rl.experience import Experience
from models.rl.policy import Policy
from models.rl.value_head import HeadLearner

_EPOCH_ORDER = 11  # name of a random stream beside the seed


class Updater:
    """Clipped updates; the learning rate is a pure function of the update's number.

    Policy and value head are clipped each by its own norm: a young head's gradient is many times the policy's, and under
    one common norm it would scale the policy's away.
    """

    def __init__(
        self,
        policy: Policy,
        engine: TrainingEngine,
        factor: Callable[[int], float],
        spec: OptimizePolicySpec,
        ranks: Ranks,
    ) -> None:
        """`factor(update)` scales both learning rates."""
        self.policy, self.engine, self.spec, self.ranks = policy, engine, spec, ranks
        policy.training_pass = engine
        self._factor = factor
        self.algorithm = algorithm_of(spec)
        head, learning = policy.value_head, self.algorithm.value_learning
        self.head = None if head is None or learning is None else HeadLearner(head, learning, ranks)
        self.device = policy.core.device
        self._precision = Precision(self.device, spec.training.bf16)
        self.update = 0

    def step(self, experience: Experience, step: int) -> dict[str, float]:
        """All epochs over one step's rollouts; returns means over the updates.

        In the first steps of a value head that warms up only that learns.

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
        size = MiniBatchSize(float(experience.batch.response_mask[chosen].sum()), float(len(chosen)))
        value_only = self.warms_up(step)
        parts = self._shares(experience, chosen)
        measured: dict[str, float] = {}
        for number, (rows, weights) in enumerate(parts):
            loss, found = self._loss(experience, rows, weights, size, value_only)
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
        if self.head is not None:
            norms["value_grad_norm"] = self.head.step(rate, 1.0 if value_only else self.engine.gradient_scale)
        self._check(norms, chosen, step)
        self.update += 1
        return measured | norms | {"lr": self.spec.learning_rate * rate}

    def warms_up(self, step: int) -> bool:
        """Whether only the value head learns in this step."""
        return self.head is not None and step <= self.head.learning.warmup_steps

    def _shares(self, experience: Experience, chosen: Tensor) -> list[tuple[Tensor, Tensor]]:
        """This rank's micro-batches: rows, and weights that are 0 for a row which only keeps the ranks in step.

        Rows of like length come together: less padding, the same sum.
        """
        own = self.ranks.own(len(chosen))
        lengths = experience.batch.attention[chosen].sum(dim=1)
        order = by_length(lengths.tolist())
        rows = chosen[[order[place] for place in own]]
        real = [place * self.ranks.world + self.ranks.rank < len(chosen) for place in range(len(own))]
        size = self.spec.micro_batch_size
        return list(zip(rows.split(size), torch.tensor(real).split(size), strict=True))

    def _check(self, measured: dict[str, float], chosen: Tensor, step: int) -> None:
        if not np.isfinite(list(measured.values())).all():
            raise JobError(
                f"{self.spec.algorithm.name} step {step}, update {self.update}: {measured}; rollouts "
                f"{', '.join(f'{step}-{i}' for i in chosen.tolist()[:8])} ...; lower learning_rate or clip the scores"
            )

    def _loss(
        self, experience: Experience, rows: Tensor, weights: Tensor, size: MiniBatchSize, value_only: bool
    ) -> tuple[Tensor, dict[str, float]]:
        """A micro-batch's share of the mini-batch's loss, and what it measured."""
        spec = self.spec
        part = experience.part(rows, weights, size, self.device)
        mask = part.batch.response_mask * part.weights.unsqueeze(1)
        with self._precision():
            logprobs, values, entropy = self.policy(
                part.batch, spec.temperature, allowed=part.allowed, value_only=value_only
            )
        bonus = (entropy * mask).sum() / size.tokens
        loss, measured = self.algorithm.loss(part, logprobs, values.float(), value_only)
        if not value_only:
            loss = loss - spec.entropy_coefficient * bonus
        change = torch.where(mask.bool(), logprobs - part.logprobs, 0.0).detach()
        return loss, measured | {
            "loss": float(loss.detach()),
            "entropy": float(bonus.detach()),
            "approx_kl": float((0.5 * change.square()).sum()) / size.tokens,
        }
