"""Length-controlled win rate: what the win rate would be if both answers were equally long.

After Dubois et al. (2024), without their term for the question's difficulty: a logistic regression of the outcome on
the difference of lengths, tanh(difference / its standard deviation), and on which answer stood first; the win rate is
what it predicts for equal lengths and no place. A ridge keeps it finite where one side always wins.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.evaluation.statistics.intervals import Estimate, bootstrap_interval, estimate_mean, resample_counts

RIDGE = 0.1  # of the summed log-likelihood, on standardised coefficients
STEPS = 12
Floats = NDArray[np.float64]


def length_controlled_win_rate(
    outcomes: Sequence[float], differences: Sequence[float], first: Sequence[bool], pairs: Sequence[str]
) -> Estimate | None:
    """Win rate of A at equal length with its interval over pairs; None for fewer than two pairs.

    Args:
        outcomes: 1 where A won, 0 where it lost, .5 for a tie; one per judgment.
        differences: length of A's answer minus length of B's, in characters.
        first: whether A stood first.
        pairs: the question of each judgment; both orders of one are resampled together.
    """
    _, places = np.unique(np.asarray(pairs), return_inverse=True)
    number = int(places.max()) + 1 if len(places) else 0
    if number < 2:
        return None
    if len(set(outcomes)) == 1:  # nothing to regress on
        return estimate_mean(outcomes, pairs)
    lengths = np.asarray(differences, dtype=np.float64)
    spread = float(lengths.std())
    scaled = np.tanh(lengths / spread) if spread > 0 else np.zeros_like(lengths)
    design = np.stack([np.ones_like(scaled), scaled, np.where(first, 1.0, -1.0)], axis=1)  # (n, 3)
    won = np.asarray(outcomes, dtype=np.float64)
    counts = np.concatenate([np.ones((1, number)), resample_counts(number)]).astype(np.float64)
    weights = counts[:, places]  # (1 + R, n)
    rates = _sigmoid(_fit(design, won, weights)[:, 0])
    low, high = bootstrap_interval(rates[1:], float(rates[0]), number)
    return Estimate(float(rates[0]), max(0.0, low), min(1.0, high), number)


def _fit(design: Floats, won: Floats, weights: Floats) -> Floats:
    """Ridge-penalised logistic coefficients for each row of weights, (R, 3), by Newton's method."""
    coefficients = np.zeros((len(weights), design.shape[1]))
    for _ in range(STEPS):
        chance = _sigmoid(coefficients @ design.T)  # (R, n)
        slope = (weights * (won - chance)) @ design - RIDGE * coefficients
        curve = np.einsum("rn,ni,nj->rij", weights * chance * (1 - chance), design, design, optimize=True)
        curve += RIDGE * np.eye(design.shape[1])
        coefficients = coefficients + np.linalg.solve(curve, slope[..., None])[..., 0]
    return coefficients


def _sigmoid(values: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-np.clip(values, -30, 30)))
