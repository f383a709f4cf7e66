"""The heuristic filter by hand (M, S, ties, words, upstream's pairing), and what always holds of it."""

from collections.abc import Callable
from itertools import groupby
from statistics import fmean, pstdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.config.filter import HeuristicFilter
from data_contracts.config.ranking import Pairing, Ranking
from data_contracts.errors import EmptyResultError
from data_contracts.finish_reason import FinishReason
from data_contracts.rows.rows import rows_of
from data_contracts.tables.comparisons import VERDICT_COLUMNS, Comparison, DropReason, FilterVerdict
from data_contracts.tables.responses import Response
from tasks.feedback.filter_comparisons import discard_reason, filter_comparisons, judge_query, long_enough
from tasks.feedback.rank_comparisons import pair_by_rank

PAPER = HeuristicFilter()


def pairs_of(*texts: str, query_id: str = "q1") -> list[Comparison]:
    """Comparisons of responders A, B, ... that said `texts`, best first."""
    return list(
        pair_by_rank(
            Response(
                response_id=f"{query_id}-{name}", query_id=query_id, query="Who?", responder=name, responder_rank=rank,
                model="large", prompt_set="hhh", shots=1, response=text, prompt_tokens=9, tokens=2,
                finish_reason=FinishReason.END, logprob=None, seed=1,
            )
            for rank, (name, text) in enumerate(zip("ABCDEFGH", texts, strict=False), start=1)
        )
    )  # fmt: skip


def judged(*texts: str, heuristics: HeuristicFilter = PAPER, pairing: Pairing = Pairing.ALL) -> dict[str, Comparison]:
    """Pair, e.g. "AB" -> its judged comparison."""
    rows = list(judge_query(pairs_of(*texts), heuristics, pairing))
    Comparison.to_table(rows)
    return {row.chosen_responder + row.rejected_responder: row for row in rows}


def kept(rows: dict[str, Comparison]) -> set[str]:
    return {name for name, row in rows.items() if row.kept}


# --- length -----------------------------------------------------------------------------------------------------


def test_m_and_s_by_hand():
    """Lengths 2, 4, 4, 4, 5, 5, 7, 9: M = 5, S = 2 (population; the sample's would be 2.138), M - S/2 = 4."""
    rows = judged(*("x" * n for n in (2, 4, 4, 4, 5, 5, 7, 9)))
    assert {row.length_mean for row in rows.values() if row.length_mean} == {5.0}
    assert {row.length_std for row in rows.values() if row.length_std} == {2.0}
    # A (2) is never longer, and 2 <= 4. B (4) is not longer than E (5), and 4 > 4 is false: the tie falls.
    assert not any(rows[f"A{name}"].kept for name in "BEFGH")
    assert rows["BE"].verdict_length is FilterVerdict.DROP
    assert rows["BE"].dropped_because is DropReason.SHORT_CHOSEN
    # E (5) is shorter than G (7), but 5 > 4.
    assert rows["EG"].verdict_length is FilterVerdict.KEEP


def test_three_lengths_by_hand():
    """Lengths 10, 20, 60: M = 30, S = sqrt(1400/3) = 21.6, M - S/2 = 19.2: B (20) passes, A (10) does not."""
    rows = judged("a" * 10, "b" * 20, "c" * 60)
    assert kept(rows) == {"BC"}
    assert rows["AB"].length_std == pytest.approx(21.6025, abs=1e-4)
    assert rows["AB"].evidence == "10 <= 19.2"


@pytest.mark.parametrize(
    ("chosen", "rejected", "mean", "std", "ties", "holds"),
    [
        (11, 10, 100.0, 2.0, False, True),  # longer than the rejected one: enough by itself
        (10, 10, 12.0, 2.0, False, False),  # equal is not longer, and 10 <= 11
        (10, 20, 10.0, 0.0, False, False),  # exactly M - S/2: strict
        (10, 20, 10.0, 0.0, True, True),  # upstream's >=
        (11, 20, 12.0, 2.1, False, True),  # 11 > 10.95
    ],
)
def test_the_length_rule(chosen: int, rejected: int, mean: float, std: float, ties: bool, holds: bool):
    assert long_enough(chosen, rejected, mean, std, ties) is holds


def test_responses_of_equal_length_all_fall_and_pass_with_ties():
    texts = ("one.", "two.", "six.")  # M - S/2 = 4 = every length
    assert kept(judged(*texts)) == set()
    assert kept(judged(*texts, heuristics=HeuristicFilter(length_ties=True))) == {"AB", "AC", "BC"}


def test_lengths_are_counted_in_characters_not_bytes():
    rows = judged("é" * 5, "e" * 6)  # 10 bytes would be longer than 6
    assert rows["AB"].length_mean == 5.5
    assert judged("é" * 5, "e" * 6, "e" * 30)["AB"].verdict_length is FilterVerdict.DROP


def test_without_the_length_rule_it_is_not_judged():
    rows = judged("a", "bb" * 40, heuristics=HeuristicFilter(length=False))
    assert rows["AB"].verdict_length is FilterVerdict.NOT_JUDGED
    assert rows["AB"].length_mean is None
    assert kept(rows) == {"AB"}


# --- words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I don't know.", DropReason.REFUSAL),
        ("I DON’T KNOW the answer", DropReason.REFUSAL),
        ("Sorry, but i do not know who that is.", DropReason.REFUSAL),
        ("Well, it is red.", DropReason.FILLER),
        ("well it is red.", DropReason.FILLER),
        ("  Well. It is red.", DropReason.FILLER),
        ("Well", DropReason.FILLER),
        ("It is red as well as blue.", None),
        ("Wells are deep.", None),
        ("Wellington is a town.", None),
        ("You know it is red. I don't.", None),
        ("", DropReason.EMPTY),
        (" \n", DropReason.EMPTY),
    ],
)
def test_words(text: str, reason: DropReason | None):
    found = discard_reason(text, PAPER)
    assert (None if found is None else found[0]) is reason


def test_own_words_may_end_in_punctuation_and_have_typographic_apostrophes():
    own = HeuristicFilter(fillers=("hmm...", "so,"), refusals=("can’t say",))
    assert discard_reason("Hmm... it is red", own) == (DropReason.FILLER, "hmm...")
    assert discard_reason("So, it is red", own) == (DropReason.FILLER, "so,")
    assert discard_reason("I can't say.", own) == (DropReason.REFUSAL, "can’t say")
    assert discard_reason("Sold out.", HeuristicFilter(fillers=("so",))) is None


def test_a_refusal_leaves_every_pair_and_m_and_s():
    """B refuses at length; of A (10), C (20), D (30): M = 20, S = 8.165, M - S/2 = 15.9. With B, M would be 40."""
    rows = judged("a" * 10, "I don't know. " + "b" * 86, "c" * 20, "d" * 30)
    assert {name for name, row in rows.items() if row.dropped_because is DropReason.REFUSAL} == {"AB", "BC", "BD"}
    assert rows["BC"].verdict_words is FilterVerdict.DROP
    assert rows["BC"].verdict_length is FilterVerdict.NOT_JUDGED
    assert rows["BC"].length_mean is None
    assert rows["BC"].evidence == "i don't know"
    assert (rows["AC"].length_mean, rows["AC"].length_std) == (20.0, pytest.approx(8.16497, abs=1e-5))
    assert kept(rows) == {"CD"}
    assert rows["AD"].dropped_because is DropReason.SHORT_CHOSEN


def test_the_chosen_sides_reason_is_named_first():
    rows = judged("Well, yes.", "I don't know.", "It is red, and round too.")
    assert rows["AB"].dropped_because is DropReason.FILLER
    assert rows["BC"].dropped_because is DropReason.REFUSAL


def test_empty_and_identical_responses_are_named_even_without_heuristics():
    for heuristics in (PAPER, HeuristicFilter(enabled=False)):
        rows = judged("It is red.", "", "It is red. ", "Well, I don't know.", heuristics=heuristics)
        assert rows["AB"].dropped_because is DropReason.EMPTY
        assert rows["AC"].dropped_because is DropReason.IDENTICAL
        assert rows["AC"].verdict_words is FilterVerdict.DROP
    assert rows["AD"].kept
    assert rows["AD"].verdict_length is FilterVerdict.NOT_JUDGED


def test_when_all_responses_of_a_query_are_discarded_nothing_breaks():
    assert kept(judged("", "I don't know.", "Well.")) == set()


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        ("Short.", "6 characters"),
        ("x" * 49 + "?", "ends with '?'"),
        ("x" * 49 + ":", "ends with ':'"),
        ("x" * 50, "ends with 'x'"),
        ("x" * 50 + "\n\nHuman: and?.", "contains 'Human:'"),
        ("x" * 49 + ".", None),
        ("x" * 49 + "!", None),
    ],
)
def test_upstreams_shape_rules_are_an_option(text: str, evidence: str | None):
    found = discard_reason(text, HeuristicFilter(upstream_shape=True))
    assert found == (None if evidence is None else (DropReason.SHAPE, evidence))
    assert discard_reason(text, PAPER) is None


# --- pairing ----------------------------------------------------------------------------------------------------


def test_upstreams_pairing_keeps_the_first_surviving_opponent():
    """A's first opponent B refuses, so A keeps C; C keeps D, its first; nobody chooses B."""
    rows = judged("a" * 40, "I don't know.", "c" * 39, "d" * 38, pairing=Pairing.UPSTREAM)
    assert kept(rows) == {"AC", "CD"}
    assert rows["AD"].dropped_because is DropReason.CHOSEN_BEFORE
    assert rows["AD"].evidence == "q1-A"
    assert (rows["AC"].verdict_pairing, rows["AD"].verdict_pairing) == (FilterVerdict.KEEP, FilterVerdict.DROP)
    assert rows["AB"].verdict_pairing is FilterVerdict.NOT_JUDGED
    assert kept(judged("a" * 40, "I don't know.", "c" * 39, "d" * 38)) == {"AC", "AD", "CD"}


# --- always -----------------------------------------------------------------------------------------------------

TEXTS = st.lists(
    st.sampled_from(["", "I don't know.", "Well, yes.", "x" * 60, "It is red."]) | st.text(max_size=30), max_size=6
)


def filtered(pairs: list[Comparison], heuristics: HeuristicFilter, pairing: Pairing) -> list[Comparison]:
    """What the step makes of comparisons; nothing left is no error here."""
    try:
        return list(
            filter_comparisons.fn(
                comparisons=rows_of(Comparison, pairs), heuristics=heuristics, ranking=Ranking(pairing=pairing)
            )
        )
    except EmptyResultError:
        by_query = (list(own) for _, own in groupby(pairs, key=lambda pair: pair.query_id))
        rows = [row for own in by_query for row in judge_query(own, heuristics, pairing)]
        assert not any(row.kept for row in rows)
        return rows


@given(TEXTS, TEXTS, st.sampled_from(Pairing), st.booleans(), st.booleans())
def test_what_always_holds(first: list[str], second: list[str], pairing: Pairing, enabled: bool, shape: bool):
    heuristics = HeuristicFilter(enabled=enabled, upstream_shape=shape)
    pairs = pairs_of(*first) + pairs_of(*second, query_id="q2")
    rows = filtered(pairs, heuristics, pairing)
    Comparison.to_table(rows)
    assert [row.comparison_id for row in rows] == [pair.comparison_id for pair in pairs], "nothing is thrown away"
    for row in rows:
        assert row.kept == all(getattr(row, column) is not FilterVerdict.DROP for column in VERDICT_COLUMNS)
        assert row.kept == (row.dropped_because is None)
    if pairing is Pairing.UPSTREAM:
        chosen = [row.chosen_response_id for row in rows if row.kept]
        assert len(set(chosen)) == len(chosen)
        everything = filtered(pairs, heuristics, Pairing.ALL)
        assert set(chosen) == {row.chosen_response_id for row in everything if row.kept}
    # One query's verdicts do not depend on another's.
    assert rows[: len(pairs_of(*first))] == list(judge_query(pairs_of(*first), heuristics, pairing))


@given(TEXTS)
def test_m_and_s_are_those_of_the_responses_that_stay(texts: list[str]):
    lengths = [len(text) for text in texts if discard_reason(text, PAPER) is None]
    for row in judge_query(pairs_of(*texts), PAPER, Pairing.ALL):
        if row.verdict_length is not FilterVerdict.NOT_JUDGED:
            assert row.length_mean is not None
            assert row.length_std is not None
            assert row.length_mean == pytest.approx(fmean(lengths))
            assert row.length_std == pytest.approx(pstdev(lengths))
            fits = len(row.chosen) > min(len(row.rejected), row.length_mean - row.length_std / 2)
            assert (row.verdict_length is FilterVerdict.KEEP) == fits


# --- the step ---------------------------------------------------------------------------------------------------


def test_the_step_keeps_dropped_rows(compute: Callable[..., Any], stored: Callable[..., Any]):
    comparisons = stored(Comparison, pairs_of("a" * 40, "I don't know.", "c" * 39))
    rows = list(compute(filter_comparisons, comparisons=comparisons, heuristics=PAPER, ranking=Ranking()))
    assert [row.kept for row in rows] == [False, True, False]
    assert [row.dropped_because for row in rows] == [DropReason.REFUSAL, None, DropReason.REFUSAL]


def test_when_nothing_is_left_the_step_says_why(compute: Callable[..., Any], stored: Callable[..., Any]):
    given = {
        "comparisons": stored(Comparison, pairs_of("I don't know.", "Well, yes.")), "heuristics": PAPER,
        "ranking": Ranking(),
    }  # fmt: skip
    with pytest.raises(EmptyResultError, match=r"none of 1 comparisons is left \(refusal\); loosen filter") as raised:
        compute(filter_comparisons, **given)
    assert raised.value.exit_code == 2
    assert filter_comparisons.find(**given) is None
