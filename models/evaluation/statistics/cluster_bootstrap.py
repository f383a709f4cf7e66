"""The difference of two means with an interval that respects clusters (Efron and Tibshirani 1993, chapter 8).

Answers about one person are right or wrong together, so clusters are drawn with replacement, not rows; whatever is
paired within a cluster stays paired.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2_000
LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """Means of two groups and their difference with a percentile interval."""

    first_mean: float
    second_mean: float
    low: float
    high: float
    clusters: int

    @property
    def value(self) -> float:
        """First mean minus second mean."""
        return self.first_mean - self.second_mean


def difference_of_means(
    first: Sequence[tuple[str, float]], second: Sequence[tuple[str, float]], seed: int
) -> Difference:
    """Compare two groups of (cluster, value) rows.

    Raises:
        ValueError: a group is empty.
    """
    if not first or not second:
        raise ValueError("a difference of means needs rows in both groups")
    names = sorted({cluster for cluster, _ in (*first, *second)})
    place = {name: i for i, name in enumerate(names)}
    sums, counts = np.zeros((2, len(names))), np.zeros((2, len(names)))
    for group, rows in enumerate((first, second)):
        for cluster, value in rows:
            sums[group, place[cluster]] += value
            counts[group, place[cluster]] += 1
    means = sums.sum(axis=1) / counts.sum(axis=1)
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=DRAWS)
    totals, sizes = drawn @ sums.T, drawn @ counts.T  # (draws, 2)
    usable = (sizes > 0).all(axis=1)
    ratios = totals[usable] / sizes[usable]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(ratios[:, 0] - ratios[:, 1], [tail, 1 - tail])
    return Difference(float(means[0]), float(means[1]), float(low), float(high), len(names))
