"""How far a reward model's margins can be taken as probabilities: curve, ECE, Brier score, temperature.

The win probability of a pair is sigmoid(r_first - r_second). Which answer comes first is a matter of naming, so pairs
are turned so that the model's choice is first: confidence lies in [.5, 1], and a pair is right when its choice is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BINS = 10
COLDEST, HOTTEST = 1e-2, 1e3
SEARCH_STEPS = 50


@dataclass(frozen=True)
class Bin:
    """Pairs of like confidence: how many, the mean confidence, and the share that was right."""

    pairs: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """`temperature` divides margins so that their likelihood is highest; None when no temperature is best."""

    curve: tuple[Bin, ...]
    ece: float
    brier: float
    temperature: float | None


def calibrate(margins: Floats) -> Calibration:
    """Calibration of pairs; `margins` are reward of the better minus reward of the worse answer, (pairs,)."""
    chance = sigmoid(margins)
    confidence, right = np.maximum(chance, 1 - chance), np.where(margins == 0, 0.5, margins > 0)
    places = np.minimum(((confidence - 0.5) * 2 * BINS).astype(int), BINS - 1)
    curve = tuple(
        Bin(int(own.sum()), float(confidence[own].mean()), float(right[own].mean()))
        for place in range(BINS)
        if (own := places == place).any()
    )
    ece = sum(found.pairs * abs(found.accuracy - found.confidence) for found in curve) / len(margins)
    return Calibration(curve, float(ece), float(np.mean((1 - chance) ** 2)), _temperature(margins))


def _temperature(margins: Floats) -> float | None:
    """The temperature of the highest likelihood; none when all pairs are right, all are wrong, or all are ties."""
    if not (margins > 0).any() or not (margins < 0).any():
        return None

    def loss(log_temperature: float) -> float:
        return float(np.mean(np.logaddexp(0, -margins / np.exp(log_temperature))))

    low, high = float(np.log(COLDEST)), float(np.log(HOTTEST))
    for _ in range(SEARCH_STEPS):  # the loss has one valley: convex in 1 / temperature
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, right) if loss(left) <= loss(right) else (left, high)
    best = float(np.exp((low + high) / 2))
    return best if 1.01 * COLDEST < best < 0.99 * HOTTEST else None


def sigmoid(values: Floats) -> Floats:
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + np.exp(-np.clip(values, -500, 500)))
