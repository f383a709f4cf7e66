"""The gold judge as a scorer: built from its description, ten points of reward per point of gold."""

from pathlib import Path

import pytest
import torch

from data_contracts.config.world import GoldJudgeSource
from data_contracts.conversation import Role, Turn
from data_contracts.specs.optimize_policy import PPOSpec
from models.rl.scoring import open_scorer
from models.tiny_world.gold_scorer import GoldScorer
from models.tiny_world.world import World
from tests.models.tiny_world.conftest import SMALL


class Words:
    """A tokenizer whose ids are words."""

    def decode(self, ids: list[str], skip_special_tokens: bool) -> str:
        return " ".join(ids)


def test_a_description_becomes_the_judge_of_that_world(small_world: World):
    source = GoldJudgeSource(world=SMALL, world_seed=5)
    spec = PPOSpec(
        output_dir=Path("/out"), work_dir=Path("/work"), seed=1, policy=Path("/m"), prompts=(Path("/p"),), scorer=source
    )
    assert PPOSpec.model_validate_json(spec.model_dump_json()).scorer == source
    assert not source.models, "no model scores, so no model's length or weights are checked"
    scorer = open_scorer(spec.scorer, spec, Words(), torch.device("cpu"))
    assert isinstance(scorer, GoldScorer)
    assert scorer.judge.world.facts == small_world.facts
    name, facts = next(iter(small_world.facts.items()))
    asked = [(Turn(Role.HUMAN, text),) for text in (f"What is the pet and job of {name}?", "How are you?")]
    answer = [f"{name} has pet {facts['pet']}."]
    assert scorer.score(asked, [[], []], [answer, answer]) == pytest.approx([5.0, 0.0])  # type: ignore[list-item]
