"""The gold judge in place of a reward model: the ceiling that PPO is measured against in the tiny world.

A control, never a method: no such judge exists outside a world whose facts are known.
"""

from collections.abc import Sequence
from typing import Any

import torch

from data_contracts.config.world import GoldJudgeSource
from data_contracts.conversation import Conversation
from data_contracts.specs.optimize_policy import OptimizePolicySpec
from models.rl.scoring import open_scorer
from models.tiny_world.judge import GoldJudge
from models.tiny_world.world import build_world

# Gold lies in 0..1, and rewards are compared on a logit scale: a tenth of gold counts as one unit.
UNITS_PER_GOLD = 10.0


class GoldScorer:
    """Scores rollouts by facts instead of a model; a `Scorer` (`models/rl/scoring.py`)."""

    def __init__(self, judge: GoldJudge, tokenizer: Any) -> None:
        self.judge, self.tokenizer = judge, tokenizer

    def score(
        self, contexts: Sequence[Conversation], prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]]
    ) -> list[float]:
        """Ten times the gold of each response to its context's last turn; 0 where that is no question of the world."""
        texts = [self.tokenizer.decode(response, skip_special_tokens=True).strip() for response in responses]
        found = [self.judge.score(context[-1].text, text) for context, text in zip(contexts, texts, strict=True)]
        return [UNITS_PER_GOLD * judgment.score if judgment else 0.0 for judgment in found]


@open_scorer.register
def open_gold_judge(
    source: GoldJudgeSource, spec: OptimizePolicySpec, policy_tokenizer: Any, device: torch.device
) -> GoldScorer:
    """The judge of the described world."""
    return GoldScorer(GoldJudge(build_world(source.world, source.world_seed)), policy_tokenizer)
