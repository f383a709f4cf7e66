"""Padding: worked by hand, and what holds of any rows."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.lm.padding import pad_left, pad_right, positions_of

ROWS = st.lists(st.lists(st.integers(0, 90), min_size=0, max_size=7), min_size=1, max_size=5)


def test_rows_end_or_begin_together() -> None:
    rows = [[5, 6, 7], [8]]
    ids, mask = pad_left(rows, pad_id=3)
    assert ids.tolist() == [[5, 6, 7], [3, 3, 8]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert positions_of(mask).tolist() == [[0, 1, 2], [0, 0, 0]]
    ids, mask = pad_right(rows, pad_id=3)
    assert ids.tolist() == [[5, 6, 7], [8, 3, 3]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert positions_of(mask).tolist() == [[0, 1, 2], [0, 0, 0]]


def test_an_empty_row_is_all_padding() -> None:
    for pad in (pad_left, pad_right):
        ids, mask = pad([[], [4, 9]], pad_id=1)
        assert ids.tolist() == [[1, 1], [4, 9]]
        assert mask.tolist() == [[0, 0], [1, 1]]
        ids, mask = pad([[], []])
        assert ids.shape == mask.shape == (2, 0)
        assert ids.dtype == mask.dtype == torch.int64


@given(ROWS, st.integers(0, 90))
@settings(max_examples=60, deadline=None)
def test_the_mask_gives_the_rows_back(rows: list[list[int]], pad_id: int) -> None:
    """Also where the padding token occurs in the text."""
    for pad in (pad_left, pad_right):
        ids, mask = pad(rows, pad_id)
        assert [row[real.bool()].tolist() for row, real in zip(ids, mask, strict=True)] == rows
        assert (ids[mask == 0] == pad_id).all()
        positions = positions_of(mask)
        for row, real, places in zip(rows, mask, positions, strict=True):
            assert places[real.bool()].tolist() == list(range(len(row)))
