"""Overlap of mined queries with evaluation texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.overlap import OverlapIndex, normalised_words

LONG = "A train leaves the station at noon and travels north at sixty miles an hour without stopping"


def test_thirteen_words_in_a_row_overlap_twelve_do_not() -> None:
    index = OverlapIndex([("gsm/1", LONG), ("gsm/2", "How many legs has a spider?")])
    words = LONG.split()
    assert len(index) == 2
    assert index.find("Please solve: " + " ".join(words[2:15]) + "!") == "gsm/1"
    assert index.find(" ".join(words[:12]) + " today") is None
    assert index.find(" ".join(words[4:])) == "gsm/1"


def test_short_evaluation_texts_need_all_their_words_and_no_others() -> None:
    index = OverlapIndex([("quiz/7", "How many legs has a spider?")])
    assert index.find("how many LEGS has a spider") == "quiz/7"
    assert index.find("How many legs has a spider crab?") is None
    assert index.find("legs") is None


def test_shorter_ngrams_and_the_first_item_wins() -> None:
    index = OverlapIndex([("a", "one two three four"), ("b", "two three four five")], ngram=3)
    assert index.find("zero two three four") == "a"
    assert index.find("three four five") == "b"


@pytest.mark.parametrize("blank", ["", "?!", " \n"])
def test_texts_without_words_overlap_nothing(blank: str) -> None:
    index = OverlapIndex([("a", blank), ("b", "word")])
    assert index.find(blank) is None
    assert OverlapIndex([]).find("word") is None
    assert len(OverlapIndex([])) == 0


def test_words_of_other_scripts_count() -> None:
    assert normalised_words("Où est l'École_2?") == ["où", "est", "l", "école", "2"]


def test_ngram_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least one word"):
        OverlapIndex([], ngram=0)


@given(st.lists(st.sampled_from("abcd"), max_size=30), st.lists(st.sampled_from("abcd"), max_size=30))
def test_overlap_is_a_shared_window(a: list[str], b: list[str]) -> None:
    n = 4
    found = OverlapIndex([("x", " ".join(a))], ngram=n).find(" ".join(b)) is not None
    windows_a = {tuple(a[i : i + n]) for i in range(len(a) - n + 1)}
    windows_b = {tuple(b[i : i + n]) for i in range(len(b) - n + 1)}
    assert found == (bool(windows_a & windows_b) or (a == b and 0 < len(a) < n))
