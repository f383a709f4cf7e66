"""The Rouge-L index against rouge_score, and ties decided in integers."""

import os
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from models.text.rouge_l_index import Nearest, RougeLIndex, rouge_tokens

SCORER = RougeScorer(["rougeL"])


def rouge_l(a: str, b: str) -> float:
    return SCORER.score(a, b)["rougeL"].fmeasure


def test_ties_by_hand() -> None:
    # Common subsequence "how do i" = 3 tokens, lengths 5 and 7: 2 * 3 / 12 is exactly 1/2.
    index = RougeLIndex()
    index.add("q1", "How do I boil eggs?")
    tie = index.nearest("how do I make a paper boat")
    assert tie == Nearest("q1", 0.5, is_duplicate=False)
    strict = RougeLIndex(drop_ties=True)
    strict.add("q1", "How do I boil eggs?")
    assert strict.nearest("how do I make a paper boat").is_duplicate
    # One token fewer: 6 / 11 is above.
    assert index.nearest("how do I make paper boats") == Nearest("q1", 6 / 11, is_duplicate=True)


def test_thresholds_are_read_as_decimals() -> None:
    # 2 * 7 / 20 is exactly 0.7, which no float is.
    index = RougeLIndex(0.7)
    index.add("q", "a b c d e f g h i j")
    assert index.nearest("a b c d e f g x y z") == Nearest("q", 0.7, is_duplicate=False)
    index = RougeLIndex(Fraction(7, 10), drop_ties=True)
    index.add("q", "a b c d e f g h i j")
    assert index.nearest("a b c d e f g x y z").is_duplicate


def test_the_earliest_of_equally_near_queries_is_named() -> None:
    index = RougeLIndex()
    for number, text in enumerate(["red fox jumps", "blue fox jumps", "fox jumps high"]):
        index.add(f"q{number}", text)
    assert index.nearest("green fox jumps") == Nearest("q0", 2 / 3, is_duplicate=True)


@pytest.mark.parametrize("text", ["", "?!", "école"])
def test_texts_without_common_tokens(text: str) -> None:
    index = RougeLIndex()
    assert index.nearest(text) == Nearest(None, 0.0, is_duplicate=False)
    index.add("q", "something else")
    index.add("empty", "...")
    assert index.nearest(text) == Nearest(None, 0.0, is_duplicate=False)
    assert len(index) == 2


@given(st.text(max_size=60))
def test_tokens_are_rouge_scores(text: str) -> None:
    from rouge_score.tokenize import tokenize

    assert rouge_tokens(text) == tokenize(text, None)


SENTENCES = st.lists(st.sampled_from("abcde"), max_size=9).map(" ".join)


@given(st.lists(SENTENCES, max_size=12), SENTENCES, st.sampled_from([0.3, 0.5, 0.75]))
@settings(max_examples=200, deadline=None)
def test_nearest_is_the_maximum_by_rouge_score(kept: list[str], text: str, threshold: float) -> None:
    index = RougeLIndex(threshold)
    for number, query in enumerate(kept):
        index.add(str(number), query)
    scores = [rouge_l(query, text) for query in kept]
    nearest = index.nearest(text)
    best = max(scores, default=0.0)
    assert nearest.score == pytest.approx(best, abs=1e-12)
    if best:
        assert nearest.query_id == str(next(i for i, s in enumerate(scores) if s == pytest.approx(best, abs=1e-12)))
    assert nearest.is_duplicate == (best > threshold + 1e-9)


def test_decisions_on_real_queries_are_those_of_rouge_score() -> None:
    path = Path(os.environ.get("ALMOST_DATA", "../shared/data")) / "queries" / "queries_10k.txt"
    if not path.is_file():
        pytest.skip(f"{path} is absent; set ALMOST_DATA to the shared data folder")
    queries = path.read_text(encoding="utf-8").splitlines()[3000:3300]
    index = RougeLIndex()
    kept: list[str] = []
    ties = dropped = 0
    for number, query in enumerate(queries):
        scores = [rouge_l(other, query) for other in kept]
        best = max(scores, default=0.0)
        nearest = index.nearest(query)
        assert nearest.score == pytest.approx(best, abs=1e-12)
        assert nearest.is_duplicate == (best > 0.5 + 1e-9)
        ties += abs(best - 0.5) < 1e-9
        dropped += nearest.is_duplicate
        if not nearest.is_duplicate:
            kept.append(query)
            index.add(str(number), query)
    assert ties > 0
    assert 0 < dropped < len(queries)
