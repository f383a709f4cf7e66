"""Accuracy of a reward model on pairs labelled by gold: which pairs count, and what a tie is worth."""

from collections.abc import Callable
from typing import Any

import pytest

from data_contracts.config.engine import EngineConfig
from data_contracts.folder_contracts import Checkpoint
from data_contracts.store.artifact import Artifact
from data_contracts.tables.evaluations import EvaluatedItem, evaluation_row
from data_contracts.tables.responses import Response
from data_contracts.tables.reward_scores import RewardScore
from models.tiny_world.judge import HEDGE_COST
from tasks.reward import score_preference_pairs as evaluate_reward_model
from tasks.reward.score_preference_pairs import score_gold_pairs


class Scripted:
    """Stands where the reward model is opened: rewards by the answer's text."""

    def __init__(self, rewards: dict[str, float]) -> None:
        self.rewards = rewards

    def score(self, conversations: list[Any]) -> list[float]:
        return [self.rewards[turns[-1].text] for turns in conversations]


def response(query: str, name: str, text: str) -> dict[str, Any]:
    return {
        "response_id": f"{query}-{name}", "query_id": query, "query": f"{query}?", "responder": name,
        "responder_rank": 1, "model": "m", "prompt_set": "hhh", "shots": 0, "response": text, "prompt_tokens": 1,
        "tokens": 1, "finish_reason": "end", "logprob": -1.0, "seed": 1,
    }  # fmt: skip


def gold(item: str, value: float) -> dict[str, Any]:
    return evaluation_row("gold_responses", "A", item, "?", "gold", value)


def scored(query: str, split: str = "heldout") -> dict[str, Any]:
    return {
        "pair_id": query, "query_id": query, "split": split, "chosen_score": 1.0, "rejected_score": 0.0,
        "chosen_chars": 1, "rejected_chars": 1,
    }  # fmt: skip


def test_gold_pairs_by_hand(compute: Callable[..., Any], commit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch):
    """q1: good .9 > fair .5 > poor .495: two pairs, as .005 is no difference. q2 is not held out; C is empty."""
    rewards = {"good": 2.0, "fair one": 2.0, "poor": 1.0}
    monkeypatch.setattr(evaluate_reward_model, "open_reward_model", lambda *_: Scripted(rewards))
    tables = [
        commit(Response, [response("q1", "A", "poor"), response("q2", "A", "good")]),
        commit(Response, [response("q1", "B", "good"), response("q2", "B", "poor")]),
        commit(Response, [response("q1", "C", "")]),
        commit(Response, [response("q1", "D", "fair one")]),
    ]
    values = {"q1-A": 0.495, "q1-B": 0.9, "q1-C": 0.0, "q1-D": 0.5, "q2-A": 0.9, "q2-B": 0.1}
    judged = commit(EvaluatedItem, [gold(item, value) for item, value in values.items()])
    checkpoint = Artifact(contract="checkpoint@1", path="checkpoint@1/x", digest="x", rows=0)
    table = compute(score_gold_pairs, checkpoint, commit(RewardScore, [scored("q1")]), tables, judged, EngineConfig())
    rows = {(row["subject"], row["item_id"]): row for row in read(EvaluatedItem, table).to_pylist()}
    assert {name: row["value"] for name, row in rows.items()} == {
        ("reward", "q1-B>q1-D"): 0.5,  # equal rewards
        ("reward", "q1-B>q1-A"): 1.0,
        ("longer_wins", "q1-B>q1-D"): 0.0,  # 4 characters against 8
        ("longer_wins", "q1-B>q1-A"): 0.5,  # 4 against 4
    }
    assert rows["reward", "q1-B>q1-A"]["option_scores"] == [2.0, 1.0]
    assert {row["group"] for row in rows.values()} == {"clear"}


def test_the_judges_least_fault_makes_a_pair(
    compute: Callable[..., Any], commit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(evaluate_reward_model, "open_reward_model", lambda *_: Scripted({"has": 2.0, "hmm": 1.0}))
    tables = [commit(Response, [response("q1", "A", "hmm"), response("q1", "B", "has")])]
    judged = commit(EvaluatedItem, [gold("q1-A", 0.8 - HEDGE_COST), gold("q1-B", 0.8)])
    checkpoint = Artifact(contract="checkpoint@1", path="checkpoint@1/x", digest="x", rows=0)
    table = compute(score_gold_pairs, checkpoint, commit(RewardScore, [scored("q1")]), tables, judged, EngineConfig())
    assert [(row["value"], row["group"]) for row in read(EvaluatedItem, table).to_pylist()] == [
        (1.0, "slight"),
        (0.5, "slight"),
    ]


def test_queries_the_reward_model_was_trained_on_do_not_count(
    compute: Callable[..., Any], commit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(evaluate_reward_model, "open_reward_model", lambda *_: Scripted({"good": 2.0, "poor": 1.0}))
    tables = [commit(Response, [response("q1", "A", "poor"), response("q1", "B", "good")])]
    judged = commit(EvaluatedItem, [gold("q1-A", 0.1), gold("q1-B", 0.9)])
    checkpoint = Artifact(contract="checkpoint@1", path="checkpoint@1/x", digest="x", rows=0)
    scores = commit(RewardScore, [scored("q1", split="train"), scored("q2")])
    assert compute(score_gold_pairs, checkpoint, scores, tables, judged, EngineConfig()).rows == 0


def test_a_preference_file_is_scored_in_pairs(
    compute: Callable[..., Any], reward_checkpoint: Artifact[Checkpoint], tmp_path: Any
):
    from tasks.inputs.resolve_files import resolve_file
    from tasks.reward.score_preference_pairs import score_preference_file
    from tasks.runtime.loaded_models import as_model

    path = tmp_path / "pairs.jsonl"
    line = '{"chosen": "\\n\\nHuman: Hi?\\n\\nAssistant: %s", "rejected": "\\n\\nHuman: Hi?\\n\\nAssistant: %s"}\n'
    path.write_text(
        line % ("Yes.", "No.") + line % ("Yes.", "Yes.") + line % ("No.", "Yes.") + line % ("x " * 400, "No.")
    )
    model, file = as_model("reward", reward_checkpoint), resolve_file("f", str(path))
    table = read(EvaluatedItem, compute(score_preference_file, file, None, "reward", model, EngineConfig())).to_pylist()
    rows = [row for row in table if row["subject"] == "reward"]
    first, tie, reverse, too_long = (row["value"] for row in rows)
    assert tie == 0.5
    assert first + reverse == 1.0
    assert too_long is None
    assert "positions" in rows[3]["skipped_because"]
    assert rows[0]["option_scores"] == pytest.approx(rows[2]["option_scores"][::-1], abs=1e-4)
    assert {row["prompt"] for row in rows} == {"Hi?"}
    assert {row["group"] for row in rows} == {"single-turn"}
    assert [row["value"] for row in table if row["subject"] == "longer_wins"] == [1.0, 0.5, 0.0]
