"""From ranked responses to pairs, by hand and as a property."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_contracts.errors import ContractError
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.responses import Response
from tasks.feedback.rank_comparisons import pair_by_rank, rank_comparisons


def response(query_id: str, responder: str, rank: int, text: str = "Yes.") -> dict[str, Any]:
    return {
        "response_id": f"{query_id}-{responder}",
        "query_id": query_id,
        "query": f"What is {query_id}?",
        "responder": responder,
        "responder_rank": rank,
        "model": "large",
        "prompt_set": "hhh",
        "shots": 1,
        "response": text,
        "prompt_tokens": 9,
        "tokens": 2,
        "finish_reason": "end",
        "logprob": -1.0,
        "seed": 1,
    }


def test_three_responses_make_three_pairs_better_one_chosen():
    rows = [response("q1", "C", 3, "c"), response("q1", "A", 1, "a"), response("q1", "B", 2, "b")]
    pairs = pair_by_rank(rows)
    assert [(p["chosen_responder"], p["rejected_responder"]) for p in pairs] == [("A", "B"), ("A", "C"), ("B", "C")]
    assert [(p["chosen"], p["rejected"]) for p in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    first = pairs[0]
    assert (first["chosen_response_id"], first["rejected_response_id"]) == ("q1-A", "q1-B")
    assert (first["chosen_rank"], first["rejected_rank"], first["query"]) == (1, 2, "What is q1?")
    assert first["kept"]
    assert first["dropped_because"] is None
    assert {first[f"verdict_{name}"] for name in ("words", "length", "pairing", "as_is")} == {"not_judged"}


def test_pairs_never_cross_queries_and_queries_keep_their_order():
    rows = [response("q2", "A", 1), response("q1", "A", 1), response("q1", "B", 2), response("q2", "B", 2)]
    assert [p["query_id"] for p in pair_by_rank(rows)] == ["q2", "q1"]


def test_a_query_with_one_response_makes_no_pair():
    assert pair_by_rank([response("q1", "A", 1)]) == []
    assert pair_by_rank([]) == []


def test_two_responses_of_one_rank_are_refused():
    with pytest.raises(ContractError, match=r"query q1 has two responses of the same rank: \[1, 1\]"):
        pair_by_rank([response("q1", "A", 1), response("q1", "B", 1)])


@example(["A", "AB", "B", "BB"], Random(0))
@given(st.lists(st.text("AB-", min_size=1, max_size=4), min_size=1, max_size=6, unique=True), st.randoms())
def test_n_responders_make_n_choose_2_distinct_pairs(names: list[str], random: Random):
    rows = [response(query, name, rank) for query in ("q1", "q2") for rank, name in enumerate(names, start=1)]
    random.shuffle(rows)
    pairs = pair_by_rank(rows)
    assert len(pairs) == 2 * len(names) * (len(names) - 1) // 2
    assert all(pair["chosen_rank"] < pair["rejected_rank"] for pair in pairs)
    assert Comparison.from_rows(pairs).num_rows == len(pairs), "ids must be distinct whatever responders are called"


def test_the_step_reads_one_table_per_responder(compute: Callable[..., Any], commit: Callable[..., Any]):
    tables = [
        commit(Response, [response(query, name, rank) for query in ("q1", "q2")])
        for rank, name in enumerate("ABCDE", start=1)
    ]
    comparisons = compute(rank_comparisons, tables)
    assert comparisons.rows == 20
    assert read(Comparison, comparisons)["query_id"].to_pylist() == ["q1"] * 10 + ["q2"] * 10
    assert rank_comparisons.key(tables) != rank_comparisons.key(tables[::-1])
