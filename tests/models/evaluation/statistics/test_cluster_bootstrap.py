"""The cluster bootstrap: means by hand, clusters rather than rows decide the width, and it covers the truth."""

import numpy as np
import pytest

from models.evaluation.statistics.cluster_bootstrap import difference_of_means


def test_means_are_over_rows_and_the_difference_is_theirs() -> None:
    found = difference_of_means([("a", 1.0), ("a", 0.0), ("b", 0.5)], [("a", 0.25), ("b", 0.25)], seed=1)
    assert (found.first_mean, found.second_mean, found.clusters) == (0.5, 0.25, 2)
    assert found.value == 0.25
    assert found.low <= found.value <= found.high


def test_equal_rows_in_both_groups_have_no_spread() -> None:
    rows = [(f"c{i}", float(i % 3)) for i in range(12)]
    found = difference_of_means(rows, rows, seed=1)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_many_rows_of_few_clusters_do_not_make_it_sure() -> None:
    """Two clusters that differ: a hundred copies of each row change nothing."""
    one = [("a", 1.0), ("b", 0.0)]
    few, many = (difference_of_means(rows, [("a", 0.0), ("b", 0.0)], seed=1) for rows in (one, one * 100))
    assert (few.low, few.high) == (many.low, many.high) == (0.0, 1.0)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """200 simulated studies of 30 clusters with cluster effects; a percentile interval of 30 is a little too narrow."""
    draw, inside = np.random.default_rng(5), 0
    for study in range(200):
        effects = draw.normal(0.2, 0.3, size=30)
        first = [(str(c), float(effects[c] + draw.normal())) for c in range(30) for _ in range(5)]
        second = [(str(c), float(draw.normal())) for c in range(30) for _ in range(5)]
        found = difference_of_means(first, second, seed=study)
        inside += found.low <= 0.2 <= found.high
    assert 0.88 <= inside / 200 <= 0.98


def test_an_empty_group_is_refused() -> None:
    with pytest.raises(ValueError, match="both groups"):
        difference_of_means([], [("a", 1.0)], seed=1)
