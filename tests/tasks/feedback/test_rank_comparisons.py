"""From ranked responses to pairs, by hand and as a property; the step on rows in memory and in the store."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_contracts.errors import ContractError
from data_contracts.finish_reason import FinishReason
from data_contracts.tables.comparisons import Comparison, FilterVerdict
from data_contracts.tables.responses import Response
from data_contracts.tables.rows import Rows, rows_of
from tasks.feedback.rank_comparisons import pair_by_rank, rank_comparisons
from tests.tasks.conftest import response


def table(*rows: Response) -> Rows[Response]:
    return rows_of(Response, rows)


# --- one query --------------------------------------------------------------------------------------------------


def test_three_responses_make_three_pairs_better_one_chosen():
    pairs = list(pair_by_rank([response("q1", "C", 3, "c"), response("q1", "A", 1, "a"), response("q1", "B", 2, "b")]))
    assert [(p.chosen_responder, p.rejected_responder) for p in pairs] == [("A", "B"), ("A", "C"), ("B", "C")]
    assert [(p.chosen, p.rejected) for p in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    first = pairs[0]
    assert (first.chosen_response_id, first.rejected_response_id) == ("q1-A", "q1-B")
    assert (first.chosen_rank, first.rejected_rank, first.query) == (1, 2, "What is q1?")
    assert first.kept
    assert first.dropped_because is None
    assert {first.verdict_words, first.verdict_length, first.verdict_pairing, first.verdict_as_is} == {
        FilterVerdict.NOT_JUDGED
    }


def test_a_query_with_one_response_makes_no_pair():
    assert list(pair_by_rank([response("q1", "A", 1)])) == []
    assert list(pair_by_rank([])) == []


def test_two_responses_of_one_rank_are_refused():
    with pytest.raises(ContractError, match=r"query q1 has two responses of the same rank: \[1, 1\]"):
        list(pair_by_rank([response("q1", "A", 1), response("q1", "B", 1)]))


# --- the step ---------------------------------------------------------------------------------------------------


@example(["A", "AB", "B", "BB"], Random(0))
@given(st.lists(st.text("AB-", min_size=1, max_size=4), min_size=1, max_size=6, unique=True), st.randoms())
def test_n_responders_make_n_choose_2_distinct_pairs_in_any_order_of_tables(names: list[str], random: Random):
    ranked = list(enumerate(names, start=1))
    random.shuffle(ranked)
    tables = [table(*(response(query, name, rank) for query in ("q1", "q2"))) for rank, name in ranked]
    pairs = list(rank_comparisons.fn(responses=tables))
    assert len(pairs) == 2 * len(names) * (len(names) - 1) // 2
    assert all(pair.chosen_rank < pair.rejected_rank for pair in pairs)
    assert Comparison.to_table(pairs).num_rows == len(pairs), "ids must be distinct whatever responders are called"


def test_pairs_never_cross_queries_and_queries_keep_their_order():
    tables = [table(response("q2", name, rank), response("q1", name, rank)) for rank, name in ((1, "A"), (2, "B"))]
    assert [pair.query_id for pair in rank_comparisons.fn(responses=tables)] == ["q2", "q1"]


def test_comparisons_can_be_read_more_than_once():
    comparisons = rank_comparisons.fn(responses=[table(response("q1", n, r)) for r, n in ((1, "A"), (2, "B"))])
    assert list(comparisons) == list(comparisons)
    assert len(comparisons) == 1


@pytest.mark.parametrize(
    "second",
    [("q1",), ("q1", "q2", "q3"), ("q2", "q1"), ("q1", "q3"), ()],
    ids=["fewer", "more", "another order", "another query", "none"],
)
def test_responders_that_answered_other_queries_or_in_another_order_are_refused(second: tuple[str, ...]):
    first = table(*(response(query, "A", 1) for query in ("q1", "q2")))
    other = table(*(response(query, "B", 2) for query in second))
    for responses in ([first, other], [other, first]):
        with pytest.raises(ContractError, match="the responders answered different queries, or in another order"):
            list(rank_comparisons.fn(responses=responses))


def test_a_failed_response_joins_no_pair_but_keeps_its_place():
    failed = response("q1", "B", 2, "", finish_reason=FinishReason.FAILED)
    tables = [table(response("q1", "A", 1)), table(failed), table(response("q1", "C", 3))]
    (pair,) = rank_comparisons.fn(responses=tables)
    assert (pair.chosen_responder, pair.rejected_responder) == ("A", "C")


def test_the_step_in_the_store_reads_one_table_per_responder(compute: Callable[..., Any], stored: Callable[..., Any]):
    tables = [
        stored(Response, [response(query, name, rank) for query in ("q1", "q2")])
        for rank, name in enumerate("ABCDE", start=1)
    ]
    comparisons = compute(rank_comparisons, responses=tables)
    assert len(comparisons) == 20
    assert comparisons.column("query_id") == ["q1"] * 10 + ["q2"] * 10
    assert list(comparisons) == list(rank_comparisons.fn(responses=[table(*rows) for rows in tables]))
    assert rank_comparisons.key(responses=tables) != rank_comparisons.key(responses=tables[::-1])
