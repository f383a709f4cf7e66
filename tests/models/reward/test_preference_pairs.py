"""Pairs for the jobs: which are made, which queries are held out, and that they are made while they are read."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.conversation import Role, Turn
from data_contracts.errors import EmptyResultError
from data_contracts.rows.rows import rows_of, stream
from data_contracts.tables.community_answers import CommunityAnswer
from data_contracts.tables.comparisons import Comparison, DropReason, FilterVerdict
from data_contracts.tables.preference_pairs import PreferencePair
from data_contracts.tables.reward_scores import PairSplit
from models.reward.preference_pairs import heldout_queries, pairs_of, pairs_of_community_answers, pairs_of_comparisons

# --- held-out queries -------------------------------------------------------------------------------------------

IDS = st.lists(st.sampled_from([f"q{n}" for n in range(30)]), max_size=60)


@given(IDS, st.floats(0, 0.99), st.integers(0, 99), st.randoms(use_true_random=False))
def test_queries_are_held_out_whole(ids: list[str], share: float, seed: int, random: Any):
    heldout = heldout_queries(ids, share, seed)
    distinct = set(ids)
    assert heldout <= distinct
    if share == 0 or len(distinct) < 2:
        assert heldout == set()
    else:
        assert len(heldout) == min(len(distinct) - 1, max(1, round(share * len(distinct))))
    random.shuffle(ids)
    assert heldout_queries(ids + ids, share, seed) == heldout, "neither order nor repetition counts"


def test_held_out_queries_by_hand():
    ids = [f"q{n}" for n in range(20)]
    assert len(heldout_queries(ids, 0.1, 1)) == 2
    assert len({frozenset(heldout_queries(ids, 0.1, seed)) for seed in range(8)}) > 1
    assert heldout_queries([], 0.5, 1) == set()


# --- pairs ------------------------------------------------------------------------------------------------------


def comparison(query: int, ranks: tuple[int, int] = (1, 2), kept: bool = True) -> Comparison:
    better, worse = ranks
    return Comparison(
        comparison_id=f"q{query}-{better}>{worse}", query_id=f"q{query}", query=f"Who is {query}?",
        chosen_response_id=f"q{query}-{better}", rejected_response_id=f"q{query}-{worse}",
        chosen=f"It is {better}.", rejected=f"It is {worse}.", chosen_responder=str(better),
        rejected_responder=str(worse), chosen_rank=better, rejected_rank=worse,
        verdict_words=FilterVerdict.KEEP if kept else FilterVerdict.DROP,
        dropped_because=None if kept else DropReason.REFUSAL,
    )  # fmt: skip


def test_kept_comparisons_become_pairs_whose_margin_is_their_distance_in_rank():
    rows = [comparison(1), comparison(1, (1, 4)), comparison(2, kept=False), comparison(3, (2, 4)), comparison(4)]
    pairs = pairs_of_comparisons(rows_of(Comparison, rows), heldout_share=0.34, seed=1, rank_margin=0.5)
    assert [(pair.pair_id, pair.margin) for pair in pairs] == [
        ("q1-1>2", 0.5), ("q1-1>4", 1.5), ("q3-2>4", 1.0), ("q4-1>2", 0.5),
    ]  # fmt: skip
    first = next(iter(pairs))
    assert (first.context, first.chosen, first.rejected) == (
        (Turn(Role.HUMAN, "Who is 1?"),), "It is 1.", "It is 2.",
    )  # fmt: skip
    heldout = heldout_queries(["q1", "q3", "q4"], 0.34, 1)  # a query without a kept comparison does not count
    assert {pair.query_id for pair in pairs if pair.split is PairSplit.HELDOUT} == heldout
    assert len(heldout) == 1
    assert len(list(pairs.tables())) == 1, "the pairs obey their contract"


def test_no_kept_comparison_is_told():
    for rows in ([], [comparison(1, kept=False)]):
        with pytest.raises(EmptyResultError, match="no comparison was kept; loosen filter"):
            pairs_of_comparisons(rows_of(Comparison, rows), heldout_share=0.1, seed=1)


def test_pairs_are_made_while_they_are_read():
    """After the queries' ids are known, a pair is made of each comparison in turn: no list of them is kept."""
    read: list[int] = []

    def comparisons() -> Iterator[Comparison]:
        for number in range(50):
            read.append(number)
            yield comparison(number)

    pairs = pairs_of_comparisons(stream(Comparison, comparisons), heldout_share=0.1, seed=1)
    assert read == list(range(50))
    made = iter(pairs)
    assert [next(made).pair_id for _ in range(3)] == ["q0-1>2", "q1-1>2", "q2-1>2"]
    assert read[50:] == [0, 1, 2]
    assert len(list(pairs)) == 50, "they can be read again"


def test_community_answers_become_pairs_without_margin_each_a_query_of_its_own():
    answers = [
        CommunityAnswer(
            pair_id=f"c{n}", question="Who?", chosen="Me.", rejected="You.", chosen_votes=2, rejected_votes=1
        )
        for n in range(10)
    ]
    pairs = list(pairs_of_community_answers(answers, heldout_share=0.2, seed=3))
    assert [(pair.pair_id, pair.query_id, pair.margin) for pair in pairs] == [
        (f"c{n}", f"c{n}", 0.0) for n in range(10)
    ]
    assert {pair.context for pair in pairs} == {(Turn(Role.HUMAN, "Who?"),)}
    heldout = {pair.pair_id for pair in pairs if pair.split is PairSplit.HELDOUT}
    assert heldout == heldout_queries([f"c{n}" for n in range(10)], 0.2, 3)
    assert len(heldout) == 2


def test_a_split_is_read_from_all_files_in_their_order(tmp_path: Any):
    rows = [comparison(number) for number in range(12)]
    pairs = list(pairs_of_comparisons(rows_of(Comparison, rows), heldout_share=0.25, seed=1))
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    PreferencePair.write_file(pairs[:7], files[0])
    PreferencePair.write_file(pairs[7:], files[1])
    for split, number in ((PairSplit.TRAIN, 9), (PairSplit.HELDOUT, 3)):
        found = list(pairs_of(split, files))
        assert len(found) == number
        assert found == [pair for pair in pairs if pair.split is split]
