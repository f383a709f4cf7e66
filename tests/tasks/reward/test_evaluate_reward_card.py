"""The card of a run's reward model, from its tables."""

from collections.abc import Callable
from typing import Any

import pytest

from data_contracts.config.evaluation import RewardCardSettings
from data_contracts.config.responders import Responder
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.evaluations import LONGER_WINS, EvaluatedItem, evaluation_row
from data_contracts.tables.reward_scores import RewardScore
from data_contracts.tables.training_log import TrainingLogEntry, training_log_rows
from models.evaluation.reward_card import Thresholds
from models.evaluation.reward_card_page import ensemble_lines
from tasks.feedback.rank_comparisons import pair_by_rank
from tasks.reporting.report_reward_card import card_text, reward_card_metrics
from tasks.reward.make_reward_card import differing_axes, make_preference_card, make_reward_card

RESPONDERS = (
    Responder(name="A", model="large", prompt="faithful", shots=3),
    Responder(name="B", model="mid", prompt="faithful", shots=3),
    Responder(name="C", model="mid", prompt="hhh", shots=1),
)


def tables(commit: Callable[..., Any], split: str) -> tuple[Any, Any]:
    answers = [
        {"response_id": f"q{n}-{name}", "query_id": f"q{n}", "query": "Who?", "responder": name, "responder_rank": rank}
        | {"response": f"{name} says"}
        for n in range(3)
        for rank, name in enumerate("ABC", start=1)
    ]
    comparisons = [row for n in range(3) for row in pair_by_rank(answers[3 * n : 3 * n + 3])]
    scores = [
        {
            "pair_id": row["comparison_id"], "query_id": row["query_id"], "split": split, "chosen_score": 2.0 - rank,
            "rejected_score": 1.0, "chosen_chars": 10 + rank, "rejected_chars": 10,
        }
        for row in comparisons
        for rank in [row["chosen_rank"]]
    ]  # fmt: skip
    return commit(RewardScore, scores), commit(Comparison, comparisons)


def test_axes():
    first, second, third = RESPONDERS
    assert differing_axes(first, second) == ("size",)
    assert differing_axes(second, third) == ("shots", "demonstrations")
    assert differing_axes(first, first) == ()


def test_a_runs_card(commit: Callable[..., Any], compute: Callable[..., Any], store: Any):
    """A's answers tie with their opponents' (2 - 1 = 1), B's lose: three pairs a query, (.5 + .5 + 0) / 3 right."""
    scores, comparisons = tables(commit, "heldout")
    card = compute(make_reward_card, scores, comparisons, RESPONDERS, RewardCardSettings())
    metrics = reward_card_metrics(card)
    assert metrics["reward_card.accuracy"] == pytest.approx(1 / 3)
    assert metrics["reward_card.axis.size"] == 0.5
    assert metrics["reward_card.axis.several"] == pytest.approx(0.25)  # A over C ties, B over C is wrong
    assert metrics["reward_card.flag.collapsed"] == 0.0
    assert "reward_card.temperature" not in metrics  # no pair is right: none fits
    page = (store.local_folder(card) / "card.md").read_text()
    assert "| A |" in page
    assert "agreement along size" in page


def test_an_ensemble_is_told_with_its_members(commit: Callable[..., Any], compute: Callable[..., Any], store: Any):
    scores, comparisons = tables(commit, "heldout")
    figures = {"ensemble_members": 2.0, "ensemble_accuracy_1": 0.25, "ensemble_accuracy_2": 0.75}
    figures |= {"ensemble_spread": 0.5, "ensemble_split_pairs": 1 / 3, "loss": 0.7}
    log = commit(TrainingLogEntry, training_log_rows([(9, figures)]))
    card = compute(make_reward_card, scores, comparisons, RESPONDERS, RewardCardSettings(), log)
    metrics = reward_card_metrics(card)
    assert (metrics["reward_card.ensemble_spread"], metrics["reward_card.ensemble_accuracy_2"]) == (0.5, 0.75)
    page = (store.local_folder(card) / "card.md").read_text()
    assert "Ensemble of 2 reward models with accuracies 0.250, 0.750; their scores of an answer spread by 0.50" in page
    assert "33.3% of the pairs split them.\n" in page
    figures |= {"ensemble_likelihood_weight_1": 0.5, "ensemble_likelihood_weight_2": -1.25}
    assert "Their weights of the likelihood: +0.50, -1.25." in ensemble_lines(figures)


def test_without_held_out_pairs_nothing_is_measured(commit: Callable[..., Any], compute: Callable[..., Any]):
    scores, comparisons = tables(commit, "train")
    card = compute(make_reward_card, scores, comparisons, RESPONDERS, RewardCardSettings())
    assert reward_card_metrics(card) == {}


def test_any_reward_model_has_a_card_over_preference_files(commit: Callable[..., Any], compute: Callable[..., Any]):
    """Two files; one pair right against length, one wrong, one that did not fit; another model's rows do not count."""

    def pair(file: str, item: str, subject: str, scores: list[float] | None) -> dict[str, Any]:
        value = None if scores is None else float(scores[0] > scores[1])
        why = None if scores else "too long"
        return evaluation_row(
            f"preferences:{file}", subject, item, "?", "accuracy", value, option_scores=scores, skipped_because=why
        )

    first = [pair("a", "1", "rm", [2.0, 1.0]), pair("a", "1", LONGER_WINS, [10.0, 30.0]), pair("a", "2", "rm", None)]
    second = [
        pair("b", "1", "rm", [0.0, 1.0]),
        pair("b", "1", LONGER_WINS, [10.0, 30.0]),
        pair("b", "1", "x", [1.0, 0.0]),
    ]
    tables_ = [commit(EvaluatedItem, rows) for rows in (first, second)]
    card = compute(make_preference_card, "rm", tables_, RewardCardSettings())
    metrics = reward_card_metrics(card)
    assert (metrics["reward_card.accuracy"], metrics["reward_card.longer_wins"]) == (0.5, 0.0)
    assert metrics["reward_card.chooses_longer"] == 0.5
    assert card_text(card).startswith("# Reward model rm\n\nToo few pairs for a flag: 2 pairs.")
    assert "| on preference pairs |" in card_text(card)


def test_the_profile_sets_the_thresholds():
    assert Thresholds(**RewardCardSettings().model_dump()) == Thresholds()
