"""Accuracy of a reward model on pairs labelled by gold: which pairs count, and what a tie is worth."""

from pathlib import Path
from typing import Any

import pytest

from data_contracts.config.engine import EngineConfig
from data_contracts.config.world import WorldConfig
from data_contracts.finish_reason import FinishReason
from data_contracts.folder_contracts import RewardCheckpoint
from data_contracts.rows.rows import rows_of
from data_contracts.store.stored import LocalFolder
from data_contracts.tables.evaluations import EvaluatedItem, evaluated_item
from data_contracts.tables.responses import Response
from data_contracts.tables.reward_scores import PairSplit, RewardScore
from data_contracts.tables.world_tables import WorldQuestion
from models.tiny_world.judge import HEDGE_COST
from models.tiny_world.seeds_and_prompts import question_rows
from models.tiny_world.world import Split, build_world
from tasks.tiny_world import score_gold_pairs as module
from tasks.tiny_world.score_gold_pairs import score_answer_pairs, score_gold_pairs, score_world_pairs

REWARD_MODEL = LocalFolder(RewardCheckpoint, Path("nowhere"))
WORLD = WorldConfig(names=12, how_to_tasks=4, single_turn_documents=10, conversation_documents=10)


class Scripted:
    """Stands where the reward model is opened: rewards by the answer's text, or its length."""

    def __init__(self, rewards: dict[str, float] | None = None) -> None:
        self.rewards = rewards

    def score(self, conversations: list[Any]) -> list[float]:
        texts = [turns[-1].text for turns in conversations]
        return [float(len(text)) if self.rewards is None else self.rewards[text] for text in texts]


@pytest.fixture
def rewarding(monkeypatch: pytest.MonkeyPatch):
    def use(rewards: dict[str, float] | None = None) -> None:
        monkeypatch.setattr(module, "open_reward_model", lambda *_: Scripted(rewards))

    return use


def response(query: str, name: str, text: str) -> Response:
    return Response(
        response_id=f"{query}-{name}", query_id=query, query=f"{query}?", responder=name, responder_rank=1, model="m",
        prompt_set="hhh", shots=0, response=text, prompt_tokens=1, tokens=1, finish_reason=FinishReason.END,
        logprob=-1.0, seed=1,
    )  # fmt: skip


def scored(query: str, split: PairSplit = PairSplit.HELDOUT) -> RewardScore:
    return RewardScore(
        pair_id=query, query_id=query, split=split, chosen_score=1.0, rejected_score=0.0, chosen_chars=1,
        rejected_chars=1,
    )  # fmt: skip


def pairs(
    tables: list[list[Response]], golds: dict[str, float], heldout: tuple[RewardScore, ...] = (scored("q1"),)
) -> list[EvaluatedItem]:
    judged = [evaluated_item("gold_responses", "A", item, "?", "gold", value) for item, value in golds.items()]
    found = score_gold_pairs.fn(
        reward_model=REWARD_MODEL,
        heldout=rows_of(RewardScore, heldout),
        responses=[rows_of(Response, table) for table in tables],
        gold=rows_of(EvaluatedItem, judged),
        engine=EngineConfig(),
    )
    assert sum(table.num_rows for table in found.tables()) == len(found), "the rows obey their contract"
    return list(found)


def test_gold_pairs_by_hand(rewarding: Any):
    """q1: good .9 > fair .5 > poor .495: two pairs, as .005 is no difference. q2 is not held out; C is empty."""
    rewarding({"good": 2.0, "fair one": 2.0, "poor": 1.0})
    tables = [
        [response("q1", "A", "poor"), response("q2", "A", "good")],
        [response("q1", "B", "good"), response("q2", "B", "poor")],
        [response("q1", "C", "")],
        [response("q1", "D", "fair one")],
    ]
    values = {"q1-A": 0.495, "q1-B": 0.9, "q1-C": 0.0, "q1-D": 0.5, "q2-A": 0.9, "q2-B": 0.1}
    rows = {(row.subject, row.item_id): row for row in pairs(tables, values)}
    assert {name: row.value for name, row in rows.items()} == {
        ("reward", "q1-B>q1-D"): 0.5,  # equal rewards
        ("reward", "q1-B>q1-A"): 1.0,
        ("longer_wins", "q1-B>q1-D"): 0.0,  # 4 characters against 8
        ("longer_wins", "q1-B>q1-A"): 0.5,  # 4 against 4
    }
    assert rows["reward", "q1-B>q1-A"].option_scores == (2.0, 1.0)
    assert {row.group for row in rows.values()} == {"clear"}


def test_the_judges_least_fault_makes_a_pair(rewarding: Any):
    rewarding({"has": 2.0, "hmm": 1.0})
    table = [response("q1", "A", "hmm"), response("q1", "B", "has")]
    found = pairs([table], {"q1-A": 0.8 - HEDGE_COST, "q1-B": 0.8})
    assert [(row.value, row.group) for row in found] == [(1.0, "slight"), (0.5, "slight")]


def test_queries_the_reward_model_was_trained_on_do_not_count(rewarding: Any):
    rewarding({})
    table = [response("q1", "A", "poor"), response("q1", "B", "good")]
    heldout = (scored("q1", PairSplit.TRAIN), scored("q2"))
    assert pairs([table], {"q1-A": 0.1, "q1-B": 0.9}, heldout) == []


def test_answers_of_several_models_make_pairs_question_by_question(rewarding: Any):
    rewarding({"good": 1.0, "poor": 2.0})
    tables = [
        rows_of(EvaluatedItem, [evaluated_item("gold_questions", name, "t1", "t1?", "gold", value, output=text)])
        for name, value, text in (("base", 0.1, "poor"), ("sft", 0.9, "good"), ("ppo", 0.5, " "))
    ]
    found = score_answer_pairs.fn(reward_model=REWARD_MODEL, answers=tables, engine=EngineConfig())
    assert [(row.subject, row.item_id, row.value) for row in found] == [
        ("reward", "gold_questions:sft:t1>gold_questions:base:t1", 0.0),
        ("longer_wins", "gold_questions:sft:t1>gold_questions:base:t1", 0.5),
    ]


def test_two_authors_answer_each_test_question_of_the_world(rewarding: Any):
    rewarding()
    world = build_world(WORLD, 1)
    questions = [row for split in (Split.DEV, Split.TEST) for row in question_rows(world, split, 8, 1)]
    found = list(
        score_world_pairs.fn(
            reward_model=REWARD_MODEL,
            questions=rows_of(WorldQuestion, questions),
            world=WORLD,
            world_seed=1,
            engine=EngineConfig(),
        )
    )
    asked = {row.item_id.split("-")[0] for row in found}
    assert asked == {"test"}
    rewards, lengths = found[::2], found[1::2]
    assert 6 <= len(rewards) <= 8
    assert [row.value for row in rewards] == [row.value for row in lengths], "this reward model goes by length"
