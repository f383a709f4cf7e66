"""Rows of like length together: less padding, and the same result for every row.

The order is a function of the lengths alone, so that a run that is resumed or repeated makes the same batches.
"""

from collections.abc import Iterator, Sequence
from typing import Any

BUCKET_ROWS, BUCKET_SPREAD = 4, 0.9  # rows of a bucket, at least, and shortest against longest beyond that


def by_length(lengths: Sequence[int], longest_first: bool = False, ties: Sequence[Any] | None = None) -> list[int]:
    """Places of the rows from the shortest to the longest, or the other way round.

    Rows of one length come in the order of `ties`, one value a row, and else in the order given.
    """
    order = list(range(len(lengths))) if ties is None else sorted(range(len(lengths)), key=ties.__getitem__)
    return sorted(order, key=lambda place: -lengths[place] if longest_first else lengths[place])


def batches_by_length(
    lengths: Sequence[int], batch_size: int, longest_first: bool = False, ties: Sequence[Any] | None = None
) -> Iterator[list[int]]:
    """Places of the rows in the order of `by_length`, `batch_size` at a time."""
    order = by_length(lengths, longest_first, ties)
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def length_buckets(lengths: Sequence[int]) -> list[list[int]]:
    """Places of the rows in buckets of similar length, the longest first.

    A bucket takes its first `BUCKET_ROWS` rows whatever their length, then those of at least `BUCKET_SPREAD` times
    its longest row's.
    """
    buckets: list[list[int]] = []
    for place in by_length(lengths, longest_first=True):
        bucket = buckets[-1] if buckets else []
        if not bucket or (len(bucket) >= BUCKET_ROWS and lengths[place] < BUCKET_SPREAD * lengths[bucket[0]]):
            buckets.append([])
        buckets[-1].append(place)
    return buckets
