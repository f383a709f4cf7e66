"""Intervals of 95% for means of items: Wilson's for shares of independent items, the bootstrap for everything else.

Items asked in several ways, or judged in both orders, are resampled together. Resampling is a pure function of the
values: its seed is fixed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
Z = 1.959963984540054  # of a two-sided 95%
RESAMPLES = 2000
MOST_RESAMPLED = 2000  # beyond so many items the mean is normal, and resampling only costs memory
SEED = 20230523


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval of 95%, and of how many independent items."""

    value: float
    low: float
    high: float
    items: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] of {self.items:,}"


def wilson(successes: float, items: int) -> tuple[float, float]:
    """Wilson's score interval of a share; (0, 1) when there are no items."""
    if not items:
        return 0.0, 1.0
    share, spread = successes / items, Z * Z / items
    middle = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * sqrt(share * (1 - share) / items + spread / (4 * items))
    return max(0.0, middle - half), min(1.0, middle + half)


def estimate_mean(values: Sequence[float], clusters: Sequence[str] | None = None) -> Estimate:
    """Mean of values with its interval; values of one cluster are one item.

    Raises:
        ValueError: there are no values.
    """
    if not len(values):
        raise ValueError("the mean of no values is not defined")
    per_item = _cluster_means(values, clusters)
    mean = float(np.mean(values)) if clusters is None else float(per_item.mean())
    if set(np.unique(per_item)) <= {0.0, 1.0} or (np.ptp(per_item) == 0 and 0 <= mean <= 1):
        # Equal values have no spread to resample: as if each item were a coin of that share.
        low, high = wilson(float(per_item.sum()), len(per_item))
    elif len(per_item) > MOST_RESAMPLED:
        half = Z * float(per_item.std(ddof=1)) / sqrt(len(per_item))
        low, high = mean - half, mean + half
    else:
        low, high = bootstrap_interval(resampled_means(per_item), mean, len(per_item))
    if per_item.min() >= 0 and per_item.max() <= 1:  # a mean of shares is a share
        low, high = max(0.0, low), min(1.0, high)
    return Estimate(mean, low, high, len(per_item))


def estimate_difference(differences: Sequence[float]) -> Estimate:
    """Mean of paired differences from -1 to 1 with its interval, after Agresti and Min (2005).

    Half an observation joins each cell of the two-by-two table, so that few changes, all in one direction, are not taken
    for a proof, and none at all not for certainty. The mean itself is the plain one.

    Raises:
        ValueError: there are no differences.
    """
    if not len(differences):
        raise ValueError("the mean of no values is not defined")
    values = np.asarray(differences, dtype=np.float64)
    weight = len(values) + 2  # half each of: lost, gained, right both times, wrong both times
    middle = float(values.sum()) / weight
    spread = (float((values**2).sum()) + 1) / weight - middle**2
    half = Z * sqrt(spread / weight)
    return Estimate(float(values.mean()), max(-1.0, middle - half), min(1.0, middle + half), len(values))


@lru_cache(maxsize=4)
def resample_counts(items: int) -> NDArray[np.float32]:
    """How often each item occurs in each resample, (RESAMPLES, items)."""
    drawn = np.random.default_rng(SEED).multinomial(items, np.full(items, 1.0 / items), size=RESAMPLES)
    return drawn.astype(np.float32)


def resampled_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of the values in each resample, (RESAMPLES,)."""
    return resample_counts(len(values)) @ values / len(values)


def bootstrap_interval(statistics: NDArray[np.float64], value: float, items: int) -> tuple[float, float]:
    """Percentile interval of resampled statistics, widened by sqrt(n/(n-1)): resampling understates the spread."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(statistics, [tail, 1 - tail])
    wider = sqrt(items / (items - 1)) if items > 1 else 1.0
    return float(value + (low - value) * wider), float(value + (high - value) * wider)


def _cluster_means(values: Sequence[float], clusters: Sequence[str] | None) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    if clusters is None:
        return numbers
    _, places = np.unique(np.asarray(clusters), return_inverse=True)
    return np.bincount(places, weights=numbers) / np.bincount(places)
