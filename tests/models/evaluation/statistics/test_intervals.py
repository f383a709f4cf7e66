"""Intervals: worked by hand, against scipy, and how often they cover the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from data_contracts.tables.evaluations import EvaluatedItem, evaluated_item
from models.evaluation.statistics.aggregates import ALL, aggregate
from models.evaluation.statistics.intervals import estimate_difference, estimate_mean, wilson


@given(st.integers(1, 400), st.data())
def test_wilson_is_scipys(items: int, data: st.DataObject):
    successes = data.draw(st.integers(0, items))
    theirs = binomtest(successes, items).proportion_ci(method="wilson")
    assert wilson(successes, items) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@settings(max_examples=30)
@given(st.lists(st.floats(-3, 3), min_size=1, max_size=60))
def test_the_interval_holds_the_mean(values: list[float]):
    found = estimate_mean(values)
    assert found.value == pytest.approx(np.mean(values))
    assert found.low <= found.value + 1e-9
    assert found.high >= found.value - 1e-9


def test_values_of_one_item_are_one_item():
    found = estimate_mean([1.0, 0.0, 1.0, 1.0], ["a", "a", "b", "b"])
    assert (found.value, found.items) == (0.75, 2)


def test_equal_values_are_no_certainty():
    """A model that always says A gets one half of every HHH item: that is not known to be exactly one half."""
    found = estimate_mean([0.5] * 20)
    assert found.low < 0.5 < found.high


def test_nothing_has_no_mean():
    with pytest.raises(ValueError, match="no values"):
        estimate_mean([])


def test_coverage_of_graded_scores():
    """Means of 60 scores of 0, .5 and 1 lie in their interval of 95% in 93 to 97% of 1,500 draws."""
    rng = np.random.default_rng(1)
    truth, held, draws = 0.3 * 0.5 + 0.6, 0, 1500
    for _ in range(draws):
        values = rng.choice([0.0, 0.5, 1.0], p=[0.1, 0.3, 0.6], size=60)
        found = estimate_mean(values.tolist())
        held += found.low <= truth <= found.high
    assert 0.93 <= held / draws <= 0.97


def test_shares_stay_within_their_bounds():
    found = estimate_mean([0.5, 1.0, 1.0])
    assert found.high == 1.0
    assert 0 < found.low < 0.5


def test_differences_by_hand():
    """Nothing changed in three items: five with the half ones, one of them a change: +- 1.96 sqrt(.2 / 5) around 0."""
    none = estimate_difference([0.0, 0.0, 0.0])
    assert (none.value, none.low, none.high) == (0.0, pytest.approx(-0.392, abs=1e-3), pytest.approx(0.392, abs=1e-3))
    one = estimate_difference([1.0] + [0.0] * 9)  # one lost of ten, none gained: no proof of a loss
    assert one.value == 0.1
    assert one.low < 0 < one.high
    assert estimate_difference([-1.0] * 50).low == -1.0
    with pytest.raises(ValueError, match="no values"):
        estimate_difference([])


def test_coverage_of_differences():
    """10% lost, 4% gained of 100 items: the interval holds .06 in 93 to 97% of 1,500 draws."""
    rng = np.random.default_rng(2)
    drawn = rng.choice([1.0, -1.0, 0.0], p=[0.1, 0.04, 0.86], size=(1500, 100))
    held = [found.low <= 0.06 <= found.high for found in map(estimate_difference, drawn.tolist())]
    assert 0.93 <= np.mean(held) <= 0.97


def row(item: str, value: float | None, group: str | None = None, benchmark: str = "mmlu") -> EvaluatedItem:
    return evaluated_item(benchmark, "sft", item, "?", "accuracy", value, group=group)


def test_figures_over_subjects_groups_and_all():
    rows = [
        row("a1", 1.0, "anatomy"),
        row("a2", None, "anatomy"),
        row("v1", 0.0, "virology"),
        row("p1", 1.0, "sociology"),
    ]
    figures = {figure.group: figure for figure in aggregate(rows)}
    assert set(figures) == {ALL, "anatomy", "virology", "sociology", "other", "social sciences"}
    everything, other = figures[ALL].estimate, figures["other"].estimate
    assert everything is not None
    assert everything.value == pytest.approx(2 / 3)
    assert figures[ALL].skipped == 1
    assert other is not None
    assert (other.value, other.items) == (0.5, 2)
    (nothing,) = aggregate([row("x", None, benchmark="lambada")])
    assert nothing.estimate is None
