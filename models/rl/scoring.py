"""From rollouts to the scores the policy learns from: a scorer's reading, scaling, clipping, missing-end penalty.

Policy and reward model may have different tokenizers. When they encode alike, the sampled ids are scored as they are;
otherwise the response is decoded and encoded again. A cut response is scored with an end token appended (the reward
model has seen no row without one) and then pays the penalty.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, Protocol

import torch
from torch import Tensor

from data_contracts.config.policy.rewards import ScoreNormalization
from data_contracts.conversation import Conversation, Role, Turn
from data_contracts.errors import ConfigError
from data_contracts.specs.optimize_policy import OptimizePolicySpec, RewardModelSource
from models.distributed.deepspeed_engine import shard_frozen
from models.lm.chat_template import RenderedTurn
from models.lm.tokenizer_check import check_tokenizer, same_tokenizer
from models.processes.job_protocol import is_rank_zero
from models.reward.reward_model import RewardModel


class Scorer(Protocol):
    """Who gives finished responses their rewards."""

    def score(
        self, contexts: Sequence[Conversation], prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]]
    ) -> list[float]:
        """Rewards of responses (token ids of the policy) to contexts, whose rendered ids are `prompts`.

        Raises:
            EngineError: a reward is not a finite number.
        """
        ...


@singledispatch
def open_scorer(source: Any, spec: OptimizePolicySpec, policy_tokenizer: Any, device: torch.device) -> Scorer:
    """The scorer that a spec describes. A kind of scorer registers what opens it: `@open_scorer.register`.

    Raises:
        ConfigError: no opener is registered for the description.
    """
    raise ConfigError(
        f"no scorer is known for {type(source).__name__}; the job must import the module that registers it"
    )


class RewardModelScorer:
    """Raw scores of rollouts by a reward model."""

    def __init__(self, reward_model: RewardModel, policy_tokenizer: Any, visits: torch.device | None = None) -> None:
        """`visits`: the reward model waits in CPU memory and scores on this device; None: it stays where it is."""
        self.reward_model, self.tokenizer, self._visits = reward_model, policy_tokenizer, visits
        self.shares_ids = same_tokenizer(policy_tokenizer, reward_model.tokenizer)

    def score(
        self, contexts: Sequence[Conversation], prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]]
    ) -> list[float]:
        """The reward model's scores, see `Scorer.score`."""
        if self._visits is None:
            return self._score(contexts, prompts, responses)
        home = self.reward_model.device
        self.reward_model.place(self._visits)
        try:
            return self._score(contexts, prompts, responses)
        finally:
            self.reward_model.place(home)

    def _score(
        self, contexts: Sequence[Conversation], prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]]
    ) -> list[float]:
        if self.shares_ids:
            end = self.tokenizer.eos_token_id
            whole = [list(r) if r[-1] == end else [*r, end] for r in responses]
            return self.reward_model.score_turns(
                [RenderedTurn(list(p), r) for p, r in zip(prompts, whole, strict=True)]
            )
        texts = [self.tokenizer.decode(response, skip_special_tokens=True).strip() for response in responses]
        turns = [(*context, Turn(Role.ASSISTANT, text)) for context, text in zip(contexts, texts, strict=True)]
        return self.reward_model.score(turns)


@open_scorer.register
def open_reward_model(
    source: RewardModelSource, spec: OptimizePolicySpec, policy_tokenizer: Any, device: torch.device
) -> RewardModelScorer:
    """The reward model: sharded under ZeRO-3, waiting in CPU memory with `training.offload`."""
    run = spec.training
    away = run.offload and run.zero_stage != 3
    model = RewardModel(source.folder, batch_size=spec.micro_batch_size, device="cpu" if away else str(device))
    check_tokenizer(model.tokenizer)
    if run.zero_stage == 3:
        model.wrap_models(lambda part, hidden: shard_frozen(part, run, hidden))
    scorer = RewardModelScorer(model, policy_tokenizer, device if away else None)
    if is_rank_zero():
        print(f"the reward model reads the policy's token ids as they are: {scorer.shares_ids}")
    return scorer


@dataclass
class RunningMoments:
    """Count, mean and sum of squared deviations of all scores seen so far (Welford; Chan et al. for batches)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: Sequence[float]) -> None:
        """Take a batch into account."""
        size = len(values)
        mean = math.fsum(values) / size
        squares = math.fsum((value - mean) ** 2 for value in values)
        total = self.count + size
        shift = mean - self.mean
        self.squares += squares + shift**2 * self.count * size / total
        self.mean += shift * size / total
        self.count = total

    @property
    def std(self) -> float:
        """Population standard deviation, 1 before there is any spread."""
        spread = math.sqrt(self.squares / self.count) if self.count else 0.0
        return spread if spread > 0 else 1.0


def shape_scores(raw: Sequence[float], ended: Sequence[bool], spec: OptimizePolicySpec, seen: RunningMoments) -> Tensor:
    """Scores (B,) as the policy learns from them: scaled, clipped, then less the penalty where no end token was sampled.

    `seen` must already include `raw`.
    """
    scores = torch.tensor(raw, dtype=torch.float32)
    match spec.score_normalization:
        case ScoreNormalization.RUNNING:
            scores = (scores - seen.mean) / seen.std
        case ScoreNormalization.BATCH:
            scores = (scores - scores.mean()) / (scores.std(correction=0) + 1e-8)
        case ScoreNormalization.PAIRWISE:
            scores = pairwise_advantage(scores.view(-1, spec.samples_per_prompt)).flatten()
        case ScoreNormalization.NONE:
            pass
    if spec.score_clip is not None:
        scores = scores.clamp(-spec.score_clip, spec.score_clip)
    return scores - spec.missing_end_penalty * (~torch.tensor(ended)).float()


def pairwise_advantage(scores: Tensor) -> Tensor:
    """Bounded advantage (P, N) of N samples to each of P prompts: 4 x (mean over the others of sigma(s_i - s_j) - .5).

    It lies in (-2, 2) and adds up to zero over a prompt's samples, however far the raw scores are apart. Not in the
    paper: it keeps a reward model's few extreme scores from steering the policy.
    """
    others = scores.shape[1] - 1
    wins = torch.sigmoid(scores.unsqueeze(2) - scores.unsqueeze(1))  # (P, N, N): i against j, .5 against itself
    return 4.0 * ((wins.sum(dim=2) - 0.5) / others - 0.5)
