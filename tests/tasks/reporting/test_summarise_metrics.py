"""Headline metrics, recomputed by hand from a few rows."""

from dataclasses import replace

import pytest

from data_contracts.conversation import Role, Turn
from data_contracts.finish_reason import FinishReason
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.tables.comparisons import Comparison, DropReason, FilterVerdict
from data_contracts.tables.demonstrations import Candidate, Demonstration, QuerySplit
from data_contracts.tables.evaluations import EvaluatedItem, evaluated_item
from data_contracts.tables.queries import Query, QueryRejection, RejectedQuery
from data_contracts.tables.responses import Response
from data_contracts.tables.reward_scores import PairSplit, RewardScore
from data_contracts.tables.rollouts import Rollout
from data_contracts.tables.topic_scores import TopicScore
from data_contracts.tables.verdicts import JudgeVerdict, ModelAnswer, Order, Outcome
from models.evaluation.judging.order_agreement import agreements
from models.evaluation.statistics.intervals import Estimate
from tasks.feedback.rank_comparisons import pair_by_rank
from tasks.reporting.summarise_metrics import (
    comparison_metrics,
    evaluation_metrics,
    failure_metrics,
    failures_of,
    judging_metrics,
    mining_metrics,
    policy_metrics,
    reward_metrics,
    summarise_judging,
    tax_metrics,
)


def evaluation(item: str, value: float, subject: str = "sft", benchmark: str = "gold") -> EvaluatedItem:
    return evaluated_item(benchmark, subject, item, "?", "gold", value)


def test_mining():
    kept = [
        Query(
            query_id=f"q{n}", query="Who?", attempt=n, seed=1, nearest_query_id="q0", nearest_rouge_l=0.9,
            decontamination_checked=True, evaluation_overlap=None,
        )
        for n in range(2)
    ]  # fmt: skip
    rejected = [
        RejectedQuery(
            rejection_id=f"r{n}", query="Who?", attempt=n, seed=1, rejected_because=reason, evidence="",
            nearest_query_id="q0", nearest_rouge_l=0.9,
        )
        for n, reason in enumerate((QueryRejection.DUPLICATE, QueryRejection.DUPLICATE, QueryRejection.BAD_WORD))
    ]  # fmt: skip
    assert mining_metrics(rows_of(Query, kept), rows_of(RejectedQuery, rejected)) == {
        "queries.kept": 2.0, "queries.acceptance": 0.4, "queries.rejected.duplicate": 2.0,
        "queries.rejected.bad_word": 1.0,
    }  # fmt: skip


def comparisons() -> list[Comparison]:
    """q1: A over B over C. AB is dropped by words, AC by the as-is model, BC is kept."""
    answers = [
        Response(
            response_id=f"q1-{name}", query_id="q1", query="Who?", responder=name, responder_rank=rank, model="m",
            prompt_set="hhh", shots=1, response=name, prompt_tokens=1, tokens=1, finish_reason=FinishReason.STOP,
            logprob=None, seed=1,
        )
        for rank, name in enumerate("ABC", start=1)
    ]  # fmt: skip
    first, second, third = pair_by_rank(answers)
    return [
        replace(first, verdict_words=FilterVerdict.DROP, dropped_because=DropReason.REFUSAL),
        replace(
            second,
            verdict_words=FilterVerdict.KEEP,
            verdict_as_is=FilterVerdict.DROP,
            dropped_because=DropReason.AS_IS_DISAGREES,
        ),
        replace(third, verdict_words=FilterVerdict.KEEP),
    ]


def test_comparisons_with_and_without_gold():
    table = rows_of(Comparison, comparisons())
    counts = {"comparisons.all": 3.0, "comparisons.kept": 1.0}
    assert comparison_metrics(table, None) == counts, "without a judge there is no agreement, not an agreement of 0"
    gold = rows_of(
        EvaluatedItem, [evaluation(f"q1-{name}", value) for name, value in (("A", 0.5), ("B", 0.9), ("C", 0.2))]
    )
    assert comparison_metrics(table, gold) == counts | {
        "comparisons.gold_agreement.all": pytest.approx(2 / 3),  # A > B is wrong
        "comparisons.gold_agreement.heuristic": 1.0,
        "comparisons.gold_agreement.kept": 1.0,
    }


def test_agreement_counts_decided_and_judged_pairs_only():
    rows = comparisons()
    assert not list(agreements(rows, {"q1-A": 1.0, "q1-B": 1.0, "q1-C": 1.0}))
    assert not list(agreements(rows, {"q1-A": 1.0, "q1-B": 1.0}))
    assert [agrees for _, agrees in agreements(rows, {"q1-A": 1.0, "q1-B": 0.0})] == [True]
    assert not list(agreements([], {}))


def scored(
    number: int, chosen: float, rejected: float, split: PairSplit = PairSplit.HELDOUT, longer: bool = True
) -> RewardScore:
    return RewardScore(
        pair_id=f"p{number}", query_id="q1", split=split, chosen_score=chosen, rejected_score=rejected, chosen_chars=9,
        rejected_chars=3 if longer else 9,
    )  # fmt: skip


def test_a_reward_model_is_measured_on_held_out_pairs():
    trained = scored(3, 5.0, 0.0, split=PairSplit.TRAIN)
    rows = [scored(1, 2.0, 1.0), scored(2, 1.0, 2.0, longer=False), trained, scored(4, 1.0, 0.0)]
    assert reward_metrics("reward", rows_of(RewardScore, rows)) == {
        "reward.heldout_pairs": 3.0,
        "reward.heldout_accuracy": pytest.approx(2 / 3),
        "reward.longer_wins_accuracy": pytest.approx(2.5 / 3),  # a tie counts one half
    }
    assert reward_metrics("reward", rows_of(RewardScore, [trained])) == {}


def rollout(step: int) -> Rollout:
    return Rollout(
        rollout_id=f"r{step}", step=step, prompt_id="p", query_id="q1", split=QuerySplit.SEEN, prompt="?", response="!",
        tokens=1, finish_reason=FinishReason.END, score=float(step), kl=step / 10, reward=0.0, logprob=-1.0,
    )  # fmt: skip


def test_ppo_is_measured_in_its_first_and_last_tenth_of_steps():
    """20 steps of score = step: the first two average 1.5, the last two 19.5."""
    demonstration = Demonstration(
        demonstration_id="d1", query_id="q1", turn=1, split=QuerySplit.SEEN, context=(Turn(Role.HUMAN, "Who?"),),
        response="Me.", score=1.0, candidates=(Candidate("Me.", 1.0, 2, FinishReason.END, 1),), chosen_candidate=0,
        usable=True,
    )  # fmt: skip
    silent = replace(demonstration, demonstration_id="d2", response="", usable=False)
    rollouts = [rollout(step) for step in range(1, 21)]
    demonstrations, sampled = rows_of(Demonstration, [demonstration, silent]), rows_of(Rollout, rollouts)
    assert policy_metrics(demonstrations, sampled) == {
        "demonstrations.usable": 1.0, "ppo.score.first": 1.5, "ppo.score.last": 19.5, "ppo.kl.last": pytest.approx(1.95),
    }  # fmt: skip
    assert policy_metrics(demonstrations, None) == {"demonstrations.usable": 1.0}, "nothing was sampled"
    assert "rloo.kl.last" in policy_metrics(demonstrations, sampled, "rloo")
    few = policy_metrics(demonstrations, rows_of(Rollout, rollouts[:3]))
    assert (few["ppo.score.first"], few["ppo.score.last"]) == (1.0, 3.0)


def test_evaluations_are_means_with_their_numbers_of_rows():
    tables: list[Rows[EvaluatedItem]] = [
        rows_of(EvaluatedItem, items)
        for items in (
            [evaluation("a", 1.0), evaluation("b", 0.0), evaluation("a", 0.5, subject="ppo")],
            [evaluation("a", 0.25, benchmark="mmlu")],
            [],
        )
    ]
    metrics = evaluation_metrics(tables)
    figures = {name: value for name, value in metrics.items() if not name.endswith((".low", ".high"))}
    assert figures == {
        "gold.sft": 0.5, "gold.sft.n": 2.0, "gold.ppo": 0.5, "gold.ppo.n": 1.0, "mmlu.sft": 0.25, "mmlu.sft.n": 1.0,
    }  # fmt: skip
    assert metrics["gold.sft.low"] < 0.5 < metrics["gold.sft.high"]
    assert (metrics["gold.sft.low"], metrics["gold.sft.high"]) == pytest.approx((0.0945, 0.9055), abs=1e-3)  # Wilson


def test_a_group_of_subjects_has_a_figure_and_one_subject_of_many_has_none():
    items = [replace(evaluation("a", 1.0, benchmark="mmlu"), group="anatomy")]
    metrics = evaluation_metrics([rows_of(EvaluatedItem, items)])
    assert {"mmlu.sft", "mmlu.other.sft"} <= set(metrics)
    assert "mmlu.anatomy.sft" not in metrics


def verdict(order: Order, outcome: Outcome) -> JudgeVerdict:
    return JudgeVerdict(
        verdict_id=order.value, question_id="q1", category=None, question="?", subject_a="ppo", subject_b="sft",
        order=order, answer_a_chars=3, answer_b_chars=3, score_a=2.0, score_b=1.0, outcome=outcome,
        unparsable_because=None, explanation="", raw_reply="", prompt_tokens=None, reply_tokens=None,
    )  # fmt: skip


def test_an_ab_test_goes_by_the_names_of_its_subjects():
    won = rows_of(JudgeVerdict, [verdict(order, Outcome.WIN) for order in Order])
    metrics = judging_metrics(summarise_judging([won, rows_of(JudgeVerdict, [])]))
    assert metrics["judge.ppo_against_sft.win"] == 1.0
    assert metrics["judge.ppo_against_sft.loss"] == 0.0
    assert metrics["judge.ppo_against_sft.win_rate"] == 1.0
    assert metrics["judge.ppo_against_sft.flip_rate"] == 0.0


def answer(number: int, text: str) -> ModelAnswer:
    return ModelAnswer(
        answer_id=f"a{number}", subject="sft", question_id=f"q{number}", category=None, question="?", answer=text,
        tokens=1, finish_reason=FinishReason.END, seed=1,
    )  # fmt: skip


def topic(number: int, off_topic: bool | None, subject: str = "sft") -> TopicScore:
    skipped = None if off_topic is not None else "too long"
    return TopicScore(
        answer_id=f"{subject}{number}", subject=subject, question_id=f"q{number}",
        own_logprob=None if skipped else -1.0, other_question_ids=(), other_logprobs=None, off_topic=off_topic,
        skipped_because=skipped,
    )  # fmt: skip


def test_failures_are_shares_of_a_models_own_answers():
    answers = {"sft": rows_of(ModelAnswer, [answer(1, ""), answer(2, "Yes.")])}
    topics = rows_of(TopicScore, [topic(1, None), topic(2, True), topic(2, False, subject="base")])
    metrics = failure_metrics(failures_of(answers, topics))
    assert metrics["failures.empty.sft"] == 0.5
    assert metrics["failures.off_topic.sft"] == 1.0, "of those that could be scored"
    assert "failures.off_topic.sft" not in failure_metrics(failures_of(answers, None))


def test_a_tax_has_its_interval():
    assert tax_metrics({("mmlu", "sft"): Estimate(0.02, 0.01, 0.03, 10)}) == {
        "tax.mmlu.sft": 0.02, "tax.mmlu.sft.low": 0.01, "tax.mmlu.sft.high": 0.03,
    }  # fmt: skip
