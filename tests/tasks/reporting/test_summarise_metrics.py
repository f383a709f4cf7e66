"""Headline metrics, recomputed by hand from a few rows."""

from collections.abc import Callable
from typing import Any

import pytest

from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.demonstrations import Demonstration
from data_contracts.tables.evaluations import EvaluatedItem, evaluation_row
from data_contracts.tables.queries import Query, RejectedQuery
from data_contracts.tables.reward_scores import RewardScore
from data_contracts.tables.rollouts import Rollout
from tasks.feedback.rank_comparisons import pair_by_rank
from tasks.reporting.summarise_metrics import (
    comparison_metrics,
    evaluation_metrics,
    mining_metrics,
    policy_metrics,
    reward_metrics,
)
from tasks.tiny_world.gold_agreement import agreements

Commit = Callable[..., Any]


def evaluation(item: str, value: float, subject: str = "sft", benchmark: str = "gold") -> dict[str, Any]:
    return evaluation_row(benchmark, subject, item, "?", "gold", value)


def test_mining(commit: Commit):
    common = {"query": "Who?", "seed": 1, "nearest_query_id": "q0", "nearest_rouge_l": 0.9}
    kept = [
        common | {"query_id": f"q{n}", "attempt": n, "decontamination_checked": True, "evaluation_overlap": None}
        for n in range(2)
    ]
    rejected = [
        common | {"rejection_id": f"r{n}", "attempt": n, "rejected_because": reason, "evidence": ""}
        for n, reason in enumerate(("duplicate", "duplicate", "bad_word"))
    ]
    assert mining_metrics(commit(Query, kept), commit(RejectedQuery, rejected)) == {
        "queries.kept": 2.0, "queries.acceptance": 0.4, "queries.rejected.duplicate": 2.0,
        "queries.rejected.bad_word": 1.0,
    }  # fmt: skip


def comparisons() -> list[dict[str, Any]]:
    """q1: A over B over C. AB is dropped by words, AC by the as-is model, BC is kept."""
    rows = [
        {"response_id": f"q1-{name}", "query_id": "q1", "query": "Who?", "responder": name, "responder_rank": rank, "response": name}
        for rank, name in enumerate("ABC", start=1)
    ]  # fmt: skip
    first, second, third = pair_by_rank(rows)
    first |= {"kept": False, "verdict_words": "drop", "dropped_because": "refusal"}
    second |= {"kept": False, "verdict_words": "keep", "verdict_as_is": "drop", "dropped_because": "as_is_disagrees"}
    return [first, second, third | {"verdict_words": "keep"}]


def test_comparisons_with_and_without_gold(commit: Commit):
    table = commit(Comparison, comparisons())
    counts = {"comparisons.all": 3.0, "comparisons.kept": 1.0}
    assert comparison_metrics(table, None) == counts, "without a judge there is no agreement, not an agreement of 0"
    gold = commit(
        EvaluatedItem, [evaluation(f"q1-{name}", value) for name, value in (("A", 0.5), ("B", 0.9), ("C", 0.2))]
    )
    assert comparison_metrics(table, gold) == counts | {
        "comparisons.gold_agreement.all": pytest.approx(2 / 3),  # A > B is wrong
        "comparisons.gold_agreement.heuristic": 1.0,
        "comparisons.gold_agreement.kept": 1.0,
    }


def test_agreement_counts_decided_and_judged_pairs_only():
    rows = comparisons()
    assert agreements(rows, {"q1-A": 1.0, "q1-B": 1.0, "q1-C": 1.0}) == []
    assert agreements(rows, {"q1-A": 1.0, "q1-B": 1.0}) == []
    assert [agrees for _, agrees in agreements(rows, {"q1-A": 1.0, "q1-B": 0.0})] == [True]
    assert agreements([], {}) == []


def scored(number: int, chosen: float, rejected: float, split: str = "heldout", longer: bool = True) -> dict[str, Any]:
    return {
        "pair_id": f"p{number}", "query_id": "q1", "split": split, "chosen_score": chosen, "rejected_score": rejected,
        "chosen_chars": 9, "rejected_chars": 3 if longer else 9,
    }  # fmt: skip


def test_a_reward_model_is_measured_on_held_out_pairs(commit: Commit):
    rows = [scored(1, 2.0, 1.0), scored(2, 1.0, 2.0, longer=False), scored(3, 5.0, 0.0, split="train"), scored(4, 1, 0)]
    assert reward_metrics("reward", commit(RewardScore, rows)) == {
        "reward.heldout_pairs": 3.0,
        "reward.heldout_accuracy": pytest.approx(2 / 3),
        "reward.longer_wins_accuracy": pytest.approx(2.5 / 3),  # a tie counts one half
    }
    assert reward_metrics("reward", commit(RewardScore, [scored(1, 2.0, 1.0, split="train")])) == {}


def test_ppo_is_measured_in_its_first_and_last_tenth_of_steps(commit: Commit):
    """20 steps of score = step: the first two average 1.5, the last two 19.5."""
    demonstration = {
        "demonstration_id": "d1", "query_id": "q1", "turn": 1, "split": "seen",
        "context": [{"role": "human", "text": "Who?"}], "response": "Me.", "score": 1.0,
        "candidates": [{"text": "Me.", "score": 1.0, "tokens": 2, "finish_reason": "end", "seed": 1}],
        "chosen_candidate": 0, "usable": True,
    }  # fmt: skip
    silent = demonstration | {"demonstration_id": "d2", "response": "", "usable": False}
    rollouts = [
        {
            "rollout_id": f"r{step}", "step": step, "prompt_id": "p", "query_id": "q1", "split": "seen", "prompt": "?",
            "response": "!", "tokens": 1, "finish_reason": "end", "score": float(step), "kl": step / 10, "reward": 0.0,
            "logprob": -1.0,
        }
        for step in range(1, 21)
    ]  # fmt: skip
    demonstrations = commit(Demonstration, [demonstration, silent])
    assert policy_metrics(demonstrations, commit(Rollout, rollouts)) == {
        "demonstrations.usable": 1.0, "ppo.score.first": 1.5, "ppo.score.last": 19.5, "ppo.kl.last": pytest.approx(1.95),
    }  # fmt: skip
    assert policy_metrics(demonstrations, None) == {"demonstrations.usable": 1.0}, "nothing was sampled"
    assert "rloo.kl.last" in policy_metrics(demonstrations, commit(Rollout, rollouts), "rloo")
    few = policy_metrics(demonstrations, commit(Rollout, rollouts[:3]))
    assert (few["ppo.score.first"], few["ppo.score.last"]) == (1.0, 3.0)


def test_evaluations_are_means_with_their_numbers_of_rows(commit: Commit):
    tables = [
        commit(EvaluatedItem, [evaluation("a", 1.0), evaluation("b", 0.0), evaluation("a", 0.5, subject="ppo")]),
        commit(EvaluatedItem, [evaluation("a", 0.25, benchmark="mmlu")]),
        commit(EvaluatedItem, []),
    ]
    metrics = evaluation_metrics(tables)
    figures = {name: value for name, value in metrics.items() if not name.endswith((".low", ".high"))}
    assert figures == {
        "gold.sft": 0.5, "gold.sft.n": 2.0, "gold.ppo": 0.5, "gold.ppo.n": 1.0, "mmlu.sft": 0.25, "mmlu.sft.n": 1.0,
    }  # fmt: skip
    assert metrics["gold.sft.low"] < 0.5 < metrics["gold.sft.high"]
    assert (metrics["gold.sft.low"], metrics["gold.sft.high"]) == pytest.approx((0.0945, 0.9055), abs=1e-3)  # Wilson
