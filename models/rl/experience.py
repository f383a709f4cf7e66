"""What a policy learns from in one step: rollouts with log-probabilities, values, KL, rewards and advantages.

Each rank reads its own rollouts through policy and reference; what comes out is small and goes to every rank, so that
advantages are whitened over the whole step whatever the layout.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data_contracts.errors import JobError
from data_contracts.specs.optimize_policy import OptimizePolicySpec
from models.distributed.precision import Precision
from models.distributed.ranks import Ranks
from models.lm.causal_model import CausalModel, TokenBatch, reference_logprobs
from models.lm.nucleus import unpack
from models.rl.algorithm import MiniBatchSize, Part, SampledStep
from models.rl.algorithms import algorithm_of
from models.rl.policy import Policy
from models.rl.ppo_math import kl_per_token
from models.rl.prompts import Prompt
from models.rl.reference import Reference
from models.rl.rollouts import Response, to_batch


@dataclass
class Experience:
    """A step's rollouts with all that the updates need, on the CPU; every tensor but the batch's ids is (B, T)."""

    batch: TokenBatch
    logprobs: Tensor
    values: Tensor  # 0 without a value head
    reference: Tensor  # the reference's log-probabilities
    kl: Tensor  # k1, as it is reported
    rewards: Tensor
    advantages: Tensor
    returns: Tensor
    kl_coefficient: float
    nuclei: list[list[Tensor]]  # packed, per row and token; empty lists when top-p is 1
    vocabulary: int

    def part(self, rows: Tensor, weights: Tensor, size: MiniBatchSize, device: torch.device) -> Part:
        """The chosen rows of a mini-batch of `size`, without columns that are padding in all of them."""
        batch = self.batch.rows(rows)
        width = batch.response_mask.shape[1]
        allowed = unpack_nuclei([self.nuclei[i] for i in rows.tolist()], width, self.vocabulary)

        def of(whole: Tensor) -> Tensor:
            return whole[rows, :width].to(device)

        return Part(
            batch.to(device),
            logprobs=of(self.logprobs),
            values=of(self.values),
            reference=of(self.reference),
            advantages=of(self.advantages),
            returns=of(self.returns),
            kl_coefficient=self.kl_coefficient,
            allowed=None if allowed is None else allowed.to(device),
            weights=weights.to(device),
            size=size,
        )


def unpack_nuclei(nuclei: Sequence[Sequence[Tensor]], width: int, vocabulary: int) -> Tensor | None:
    """The nuclei of B rows as bool (B, width, V), everything allowed behind a row's end; None when top-p is 1."""
    if not nuclei or not nuclei[0]:
        return None
    allowed = torch.ones(len(nuclei), width, vocabulary, dtype=torch.bool)
    for i, row in enumerate(nuclei):
        allowed[i, : len(row)] = unpack(torch.stack(list(row)), vocabulary)
    return allowed


def gather_experience(
    policy: Policy,
    reference: Reference,
    prompts: Sequence[Prompt],
    responses: Sequence[Response],
    scores: Tensor,
    spec: OptimizePolicySpec,
    kl_coefficient: float,
    pad_id: int,
    ranks: Ranks,
) -> Experience:
    """Log-probabilities, values, KL, rewards and advantages of freshly sampled rollouts.

    `scores` (B,) join each row's last real token.
    """
    batch = to_batch([p.ids for p in prompts], [r.tokens for r in responses], pad_id)
    vocabulary = _vocabulary(policy)
    parts = torch.tensor(ranks.own(len(responses))).split(spec.micro_batch_size)
    reader = _Reader(policy, batch, responses, spec, vocabulary)
    ours = [row for rows in parts for row in reader.policy(rows)]
    with reference.ready() as core:
        others = [row for rows in parts for row in reader.reference(core, rows)]
    read = [torch.cat(pair) for pair in zip(ours, others, strict=True)]  # (3, tokens) each
    mask = batch.response_mask
    logprobs, values, theirs = (torch.zeros(mask.shape) for _ in range(3))
    for i, row in enumerate(ranks.merge(read, len(responses))):
        for target, source in zip((logprobs, values, theirs), row, strict=True):
            target[i, : source.shape[0]] = source
    worth = algorithm_of(spec).advantages(SampledStep(scores, logprobs, theirs, values, mask, kl_coefficient))
    return Experience(
        batch,
        logprobs,
        values,
        reference=theirs,
        kl=kl_per_token(logprobs, theirs, mask),
        rewards=worth.rewards,
        advantages=worth.advantages,
        returns=worth.returns,
        kl_coefficient=kl_coefficient,
        nuclei=[response.nuclei for response in responses],
        vocabulary=vocabulary,
    )


class _Reader:
    """Passes over some rows of a step without gradients; the results lose their padding."""

    def __init__(
        self,
        policy: Policy,
        batch: TokenBatch,
        responses: Sequence[Response],
        spec: OptimizePolicySpec,
        vocabulary: int,
    ) -> None:
        self._policy, self._batch, self._responses = policy, batch, responses
        self._temperature, self._vocabulary = spec.temperature, vocabulary
        self._device = policy.core.device
        self._precision = Precision(self._device, spec.training.bf16)

    def policy(self, rows: Tensor) -> list[Tensor]:
        """Log-probabilities and values of each row, (2, tokens)."""
        part, allowed = self._part(rows)
        with self._policy.inference(), self._precision():
            logprobs, values, _ = self._policy(part, self._temperature, allowed=allowed)
        return self._cropped(torch.stack([logprobs.float(), values.float()]), rows)

    def reference(self, core: CausalModel, rows: Tensor) -> list[Tensor]:
        """The reference's log-probabilities of each row, (1, tokens)."""
        part, allowed = self._part(rows)
        with self._policy.inference(), self._precision():
            logprobs = reference_logprobs(core, part, self._temperature, allowed)
        return self._cropped(logprobs.float().unsqueeze(0), rows)

    def _part(self, rows: Tensor) -> tuple[TokenBatch, Tensor | None]:
        part = self._batch.rows(rows).to(self._device)
        nuclei = [self._responses[i].nuclei for i in rows.tolist()]
        allowed = unpack_nuclei(nuclei, part.response_mask.shape[1], self._vocabulary)
        return part, None if allowed is None else allowed.to(self._device)

    def _cropped(self, found: Tensor, rows: Tensor) -> list[Tensor]:
        found = found.cpu()
        return [found[:, k, : len(self._responses[i].tokens)] for k, i in enumerate(rows.tolist())]


def _vocabulary(policy: Policy) -> int:
    weight = policy.model.get_output_embeddings().weight
    return int(getattr(weight, "ds_shape", weight.shape)[0])  # ZeRO-3 hides the real shape


def check_finite(experience: Experience, name: str, step: int, prompts: Sequence[Prompt]) -> None:
    """Raise JobError, naming algorithm, step and prompts, when a rollout's numbers are not all finite."""
    numbers = (experience.logprobs, experience.values, experience.rewards, experience.advantages)
    bad = ~torch.stack([torch.isfinite(part).all(dim=1) for part in numbers]).all(dim=0)  # (B,)
    if bool(bad.any()):
        names = [prompts[i].prompt_id for i in bad.nonzero().flatten().tolist()]
        raise JobError(
            f"{name} step {step}: {len(names)} of {len(prompts)} rollouts have a reward, value or log-probability that is "
            f"not finite; prompts {', '.join(names[:8])} ...; lower learning_rate or clip the scores"
        )
