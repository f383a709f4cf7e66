"""From ranked responses to pairs, by hand and as a property."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_contracts.errors import ContractError
from data_contracts.finish_reason import FinishReason
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.tables.comparisons import Comparison, FilterVerdict
from data_contracts.tables.responses import Response
from tasks.feedback.rank_comparisons import pair_by_rank, rank_comparisons


def response(query_id: str, responder: str, rank: int, text: str = "Yes.") -> Response:
    failed = text == ""
    return Response(
        response_id=f"{query_id}-{responder}",
        query_id=query_id,
        query=f"What is {query_id}?",
        responder=responder,
        responder_rank=rank,
        model="large",
        prompt_set="hhh",
        shots=1,
        response=text,
        prompt_tokens=9,
        tokens=2,
        finish_reason=FinishReason.FAILED if failed else FinishReason.END,
        logprob=-1.0,
        seed=1,
    )


def answers(responder: str, rank: int, *query_ids: str) -> Rows[Response]:
    return rows_of(Response, [response(query_id, responder, rank) for query_id in query_ids])


def test_three_responses_make_three_pairs_better_one_chosen():
    pairs = list(pair_by_rank([response("q1", "C", 3, "c"), response("q1", "A", 1, "a"), response("q1", "B", 2, "b")]))
    assert [(p.chosen_responder, p.rejected_responder) for p in pairs] == [("A", "B"), ("A", "C"), ("B", "C")]
    assert [(p.chosen, p.rejected) for p in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    first = pairs[0]
    assert (first.chosen_response_id, first.rejected_response_id) == ("q1-A", "q1-B")
    assert (first.chosen_rank, first.rejected_rank, first.query) == (1, 2, "What is q1?")
    assert first.kept
    assert first.dropped_because is None
    verdicts = {first.verdict_words, first.verdict_length, first.verdict_pairing, first.verdict_as_is}
    assert verdicts == {FilterVerdict.NOT_JUDGED}


def test_pairs_never_cross_queries_and_queries_keep_their_order():
    tables = [answers("A", 1, "q2", "q1"), answers("B", 2, "q2", "q1")]
    pairs = list(rank_comparisons.fn(responses=tables))
    assert [pair.query_id for pair in pairs] == ["q2", "q1"]
    assert [pair.comparison_id for pair in pairs] == ["q2-A>B", "q1-A>B"]


def test_a_query_with_one_response_makes_no_pair():
    assert list(pair_by_rank([response("q1", "A", 1)])) == []
    assert list(pair_by_rank([])) == []
    assert list(rank_comparisons.fn(responses=[answers("A", 1, "q1", "q2")])) == []
    assert list(rank_comparisons.fn(responses=[])) == []


def test_a_failed_response_joins_no_pair():
    failed = rows_of(Response, [response("q1", "B", 2, ""), response("q2", "B", 2)])
    tables = [answers("A", 1, "q1", "q2"), failed, answers("C", 3, "q1", "q2")]
    pairs = [pair.comparison_id for pair in rank_comparisons.fn(responses=tables)]
    assert pairs == ["q1-A>C", "q2-A>B", "q2-A>C", "q2-B>C"]


def test_two_responses_of_one_rank_are_refused():
    with pytest.raises(ContractError, match=r"query q1 has two responses of the same rank: \[1, 1\]"):
        list(pair_by_rank([response("q1", "A", 1), response("q1", "B", 1)]))


@pytest.mark.parametrize("others", [("q1", "q3"), ("q2", "q1"), ("q1",), ("q1", "q2", "q3"), ()])
def test_tables_of_different_queries_or_of_another_order_are_refused(others: tuple[str, ...]):
    tables = [answers("A", 1, "q1", "q2"), answers("B", 2, *others)]
    with pytest.raises(ContractError, match="the responders answered different queries, or in another order"):
        list(rank_comparisons.fn(responses=tables))


@example(["A", "AB", "B", "BB"], Random(0))
@given(st.lists(st.text("AB-", min_size=1, max_size=4), min_size=1, max_size=6, unique=True), st.randoms())
def test_n_responders_make_n_choose_2_distinct_pairs(names: list[str], random: Random):
    tables = [answers(name, rank, "q1", "q2") for rank, name in enumerate(names, start=1)]
    random.shuffle(tables)
    pairs = list(rank_comparisons.fn(responses=tables))
    assert len(pairs) == 2 * len(names) * (len(names) - 1) // 2
    assert all(pair.chosen_rank < pair.rejected_rank for pair in pairs)
    assert Comparison.to_table(pairs).num_rows == len(pairs), "ids must be distinct whatever responders are called"


def test_the_step_reads_one_table_per_responder(compute: Callable[..., Any], stored: Callable[..., Any]):
    tables = [stored(Response, answers(name, rank, "q1", "q2")) for rank, name in enumerate("ABCDE", start=1)]
    comparisons = compute(rank_comparisons, responses=tables)
    assert len(comparisons) == 20
    assert [pair.query_id for pair in comparisons] == ["q1"] * 10 + ["q2"] * 10
    assert rank_comparisons.key(responses=tables) != rank_comparisons.key(responses=tables[::-1])
