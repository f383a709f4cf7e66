"""The card of a run's reward model, from its tables."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from data_contracts.config.evaluation import RewardCardSettings
from data_contracts.config.responders import Responder
from data_contracts.finish_reason import FinishReason
from data_contracts.folder_contracts import RewardCardFiles
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.store.stored import Folder
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.evaluations import LONGER_WINS, EvaluatedItem, evaluated_item
from data_contracts.tables.responses import Response
from data_contracts.tables.reward_scores import PairSplit, RewardScore
from data_contracts.tables.training_log import TrainingLogEntry, training_log_entries
from models.evaluation.reward_card_page import ensemble_lines
from tasks.feedback.rank_comparisons import pair_by_rank
from tasks.reporting.report_reward_card import card_text, reward_card_metrics
from tasks.reward.make_reward_card import differing_axes, heldout_pairs, make_preference_card, make_reward_card

RESPONDERS = (
    Responder(name="A", model="large", prompt="faithful", shots=3),
    Responder(name="B", model="mid", prompt="faithful", shots=3),
    Responder(name="C", model="mid", prompt="hhh", shots=1),
)


def response(query: int, name: str, rank: int) -> Response:
    return Response(
        response_id=f"q{query}-{name}", query_id=f"q{query}", query="Who?", responder=name, responder_rank=rank,
        model="m", prompt_set="hhh", shots=0, response=f"{name} says", prompt_tokens=1, tokens=1,
        finish_reason=FinishReason.END, logprob=-1.0, seed=1,
    )  # fmt: skip


def compared() -> Iterator[Comparison]:
    """Three queries, each answered by A, B and C."""
    for query in range(3):
        yield from pair_by_rank(response(query, name, rank) for rank, name in enumerate("ABC", start=1))


def scored(comparison: Comparison, split: PairSplit) -> RewardScore:
    rank = comparison.chosen_rank
    return RewardScore(
        pair_id=comparison.comparison_id, query_id=comparison.query_id, split=split, chosen_score=2.0 - rank,
        rejected_score=1.0, chosen_chars=10 + rank, rejected_chars=10,
    )  # fmt: skip


def card_of(split: PairSplit, log: Rows[TrainingLogEntry] | None = None) -> Folder[RewardCardFiles]:
    comparisons = list(compared())
    return make_reward_card.fn(
        scores=rows_of(RewardScore, [scored(comparison, split) for comparison in comparisons]),
        comparisons=rows_of(Comparison, comparisons),
        responders=RESPONDERS,
        settings=RewardCardSettings(),
        log=log,
    )


def test_axes():
    first, second, third = RESPONDERS
    assert differing_axes(first, second) == ("size",)
    assert differing_axes(second, third) == ("shots", "demonstrations")
    assert differing_axes(first, first) == ()


def test_a_runs_card():
    """A's answers tie with their opponents' (2 - 1 = 1), B's lose: three pairs a query, (.5 + .5 + 0) / 3 right."""
    card = card_of(PairSplit.HELDOUT)
    metrics = reward_card_metrics(card)
    assert metrics["reward_card.accuracy"] == pytest.approx(1 / 3)
    assert metrics["reward_card.axis.size"] == 0.5
    assert metrics["reward_card.axis.several"] == pytest.approx(0.25)  # A over C ties, B over C is wrong
    assert metrics["reward_card.flag.collapsed"] == 0.0
    assert "reward_card.temperature" not in metrics  # no pair is right: none fits
    page = (card.local() / "card.md").read_text()
    assert "| A |" in page
    assert "agreement along size" in page


def test_an_ensemble_is_told_with_its_members():
    figures = {"ensemble_members": 2.0, "ensemble_accuracy_1": 0.25, "ensemble_accuracy_2": 0.75}
    figures |= {"ensemble_spread": 0.5, "ensemble_split_pairs": 1 / 3, "loss": 0.7}
    card = card_of(PairSplit.HELDOUT, rows_of(TrainingLogEntry, training_log_entries([(9, figures)])))
    metrics = reward_card_metrics(card)
    assert (metrics["reward_card.ensemble_spread"], metrics["reward_card.ensemble_accuracy_2"]) == (0.5, 0.75)
    page = (card.local() / "card.md").read_text()
    assert "Ensemble of 2 reward models with accuracies 0.250, 0.750; their scores of an answer spread by 0.50" in page
    assert "33.3% of the pairs split them.\n" in page
    figures |= {"ensemble_likelihood_weight_1": 0.5, "ensemble_likelihood_weight_2": -1.25}
    assert "Their weights of the likelihood: +0.50, -1.25." in ensemble_lines(figures)


def test_without_held_out_pairs_nothing_is_measured():
    assert reward_card_metrics(card_of(PairSplit.TRAIN)) == {}


def test_a_pair_whose_comparison_or_responder_is_not_known_has_no_axes():
    first, second = list(compared())[:2]
    renamed = replace(second, rejected_responder="Z")
    scores = [scored(comparison, PairSplit.HELDOUT) for comparison in (first, renamed)]
    known, unknown = heldout_pairs(scores, [renamed], RESPONDERS)
    assert (known.query_id, known.better_responder, known.better_id, known.axes) == ("q0", None, None, ())
    assert (unknown.better_responder, unknown.worse_responder, unknown.axes) == ("A", "Z", ())


def test_any_reward_model_has_a_card_over_preference_files():
    """Two files; one pair right against length, one wrong, one that did not fit; another model's rows do not count."""

    def pair(file: str, item: str, subject: str, scores: tuple[float, float] | None) -> EvaluatedItem:
        value = None if scores is None else float(scores[0] > scores[1])
        why = None if scores else "too long"
        return evaluated_item(
            f"preferences:{file}", subject, item, "?", "accuracy", value, option_scores=scores, skipped_because=why
        )

    first = [pair("a", "1", "rm", (2.0, 1.0)), pair("a", "1", LONGER_WINS, (10.0, 30.0)), pair("a", "2", "rm", None)]
    second = [
        pair("b", "1", "rm", (0.0, 1.0)),
        pair("b", "1", LONGER_WINS, (10.0, 30.0)),
        pair("b", "1", "x", (1.0, 0.0)),
    ]
    card = make_preference_card.fn(
        subject="rm",
        preferences=[rows_of(EvaluatedItem, items) for items in (first, second)],
        settings=RewardCardSettings(),
    )
    metrics = reward_card_metrics(card)
    assert (metrics["reward_card.accuracy"], metrics["reward_card.longer_wins"]) == (0.5, 0.0)
    assert metrics["reward_card.chooses_longer"] == 0.5
    assert card_text(card).startswith("# Reward model rm\n\nToo few pairs for a flag: 2 pairs.")
    assert "| on preference pairs |" in card_text(card)
