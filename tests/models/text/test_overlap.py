"""Overlap of mined queries with evaluation texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.text.overlap import LEAST_WORDS, Overlap, OverlapIndex, OverlapKind, normalised_words

LONG = "A train leaves the station at noon and travels north at sixty miles an hour without stopping"


def found(index: OverlapIndex, text: str) -> str | None:
    """What `text` overlaps, None when it is clean."""
    overlap = index.find(text)
    return overlap.name if overlap.kind else None


def test_thirteen_words_in_a_row_overlap_twelve_do_not() -> None:
    index = OverlapIndex([("gsm/1", LONG), ("gsm/2", "How many legs has a spider?")])
    words = LONG.split()
    assert len(index) == 2
    assert index.find("Solve: " + " ".join(words[2:15]) + "!") == Overlap(OverlapKind.NGRAM, "gsm/1", 1 / 2)
    assert found(index, " ".join(words[:12]) + " today") is None
    assert found(index, " ".join(words[4:])) == "gsm/1"
    assert index.find(LONG.upper()) == Overlap(OverlapKind.EXACT, "gsm/1", 1.0)


def test_a_query_around_an_evaluation_question_overlaps_another_question_does_not() -> None:
    """Seven words are five triples; a word changed at the end leaves four of them, in the middle two."""
    index = OverlapIndex([("quiz/7", "How many legs has a garden spider?")])
    assert index.find("how many LEGS has a garden spider") == Overlap(OverlapKind.EXACT, "quiz/7", 1.0)
    wrapped = "Tell me: how many legs has a garden spider, please?"
    assert index.find(wrapped) == Overlap(OverlapKind.CONTAINED, "quiz/7", 1.0)
    assert index.find("How many legs has a garden crab?") == Overlap(None, "quiz/7", 4 / 5)
    assert index.find("How many legs had a garden spider?") == Overlap(None, "quiz/7", 2 / 5)
    assert index.find("legs") == Overlap(None, None, 0.0)


def test_short_and_templated_texts_are_not_found_by_being_contained() -> None:
    index = OverlapIndex([("short", "What do you think?")], templated=[("form", "What is the pet of Mira now?")])
    assert index.find("What do you think about rain?") == Overlap(None, None, 0.0)
    assert index.find("So what is the pet of Mira now?").kind is None
    assert index.find("what do you think") == Overlap(OverlapKind.EXACT, "short", 1.0)
    assert index.find("what is the pet of mira now") == Overlap(OverlapKind.EXACT, "form", 1.0)
    assert LEAST_WORDS == 7


def test_a_term_overlaps_whatever_else_is_said() -> None:
    index = OverlapIndex([], terms=[("test:Mira", "Mira")])
    assert index.find("Who is MIRA?") == Overlap(OverlapKind.TERM, "test:Mira", 1.0)
    assert found(index, "Who is Miran?") is None


def test_most_common_ngrams_win_then_the_first_item() -> None:
    index = OverlapIndex([("a", "one two three four"), ("b", "two three four five")], ngram=3)
    assert index.find("zero two three four") == Overlap(OverlapKind.NGRAM, "a", 1 / 2)
    assert found(index, "three four five") == "b"
    assert found(index, "two three four five six") == "b"


@pytest.mark.parametrize("blank", ["", "?!", " \n"])
def test_texts_without_words_overlap_nothing(blank: str) -> None:
    index = OverlapIndex([("a", blank), ("b", "word")])
    assert found(index, blank) is None
    assert found(OverlapIndex([]), "word") is None
    assert len(OverlapIndex([])) == 0


def test_words_of_other_scripts_count() -> None:
    assert normalised_words("Où est l'École_2?") == ["où", "est", "l", "école", "2"]


def test_ngram_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least one word"):
        OverlapIndex([], ngram=0)


WORDS = st.lists(st.sampled_from("abcd"), max_size=30)


@given(WORDS, WORDS, st.integers(1, 6))
def test_overlap_is_a_shared_window(a: list[str], b: list[str], n: int) -> None:
    overlap = OverlapIndex([("x", " ".join(a))], ngram=n, contained=1.1).find(" ".join(b))
    windows_a, windows_b = ({tuple(w[i : i + n]) for i in range(len(w) - n + 1)} for w in (a, b))
    shared = windows_a & windows_b
    assert (overlap.kind is not None) == (bool(shared) or (a == b and len(a) > 0))
    if overlap.kind is OverlapKind.NGRAM:
        assert overlap.score == len(shared) / len(windows_b)


@given(WORDS, WORDS, st.lists(WORDS, max_size=3))
def test_the_share_of_triples_is_exact(text: list[str], query: list[str], others: list[list[str]]) -> None:
    items = [("x", " ".join(text)), *((f"o{n}", " ".join(other)) for n, other in enumerate(others))]
    overlap = OverlapIndex(items, ngram=40).find(" ".join(query))
    asked = {tuple(query[i : i + 3]) for i in range(len(query) - 2)}
    shares = []
    for words in [text, *others]:
        own = {tuple(words[i : i + 3]) for i in range(len(words) - 2)}
        shares.append(len(own & asked) / len(own) if len(words) >= LEAST_WORDS else 0.0)
    if overlap.kind is not OverlapKind.EXACT:
        assert overlap.score == pytest.approx(max(shares))
        assert (overlap.kind is OverlapKind.CONTAINED) == (max(shares) >= 0.9)
