"""Rows of like length together: every row once, the order a function of the lengths."""

from hypothesis import given
from hypothesis import strategies as st

from models.lm.length_buckets import BUCKET_ROWS, BUCKET_SPREAD, batches_by_length, by_length, length_buckets

LENGTHS = st.lists(st.integers(0, 40), max_size=30)


def test_rows_of_one_length_keep_their_order() -> None:
    assert by_length([3, 1, 3, 2]) == [1, 3, 0, 2]
    assert by_length([3, 1, 3, 2], longest_first=True) == [0, 2, 3, 1]
    assert by_length([]) == []


def test_ties_order_rows_of_one_length() -> None:
    rows = [[7, 8], [1, 2], [9], [1, 2]]
    lengths = [len(row) for row in rows]
    assert by_length(lengths, longest_first=True, ties=rows) == [1, 3, 0, 2]
    assert by_length(lengths, ties=rows) == [2, 1, 3, 0]


def test_batches_cut_the_order() -> None:
    assert list(batches_by_length([3, 1, 3, 2, 9], 2)) == [[1, 3], [0, 2], [4]]
    assert list(batches_by_length([], 2)) == []


def test_buckets_by_hand() -> None:
    # 4 rows are taken whatever their length; 89 is below .9 x 100, which opens the next bucket.
    assert length_buckets([5, 100, 95, 91, 90, 89, 5]) == [[1, 2, 3, 4], [5, 0, 6]]
    assert length_buckets([7]) == [[0]]
    assert length_buckets([]) == []


@given(LENGTHS, st.integers(1, 6), st.booleans())
def test_batches_hold_every_row_once_in_order(lengths: list[int], size: int, longest_first: bool) -> None:
    batches = list(batches_by_length(lengths, size, longest_first))
    order = [place for batch in batches for place in batch]
    key = [(-lengths[place] if longest_first else lengths[place], place) for place in order]
    assert sorted(order) == list(range(len(lengths)))
    assert key == sorted(key)
    assert all(len(batch) == size for batch in batches[:-1])


@given(LENGTHS)
def test_a_bucket_beyond_its_first_rows_is_even(lengths: list[int]) -> None:
    buckets = length_buckets(lengths)
    assert sorted(place for bucket in buckets for place in bucket) == list(range(len(lengths)))
    for bucket in buckets:
        assert all(lengths[place] >= BUCKET_SPREAD * lengths[bucket[0]] for place in bucket[BUCKET_ROWS:])
