"""The reward-model card: figures by hand, calibration, and planted models that must and must not be flagged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.config.evaluation import RewardCardSettings
from models.evaluation.reward_card import RewardCard, ScoredPair, make_card
from models.evaluation.reward_card_page import card_page
from models.evaluation.statistics.calibration import calibrate, sigmoid


def test_figures_by_hand():
    """q1: right, longer right. q2: wrong, longer wrong. q3: tie, equal lengths. q4: right against length."""
    pairs = [
        ScoredPair("q1", 2.0, 1.0, 100, 50, "A", "E", "q1-A", "q1-E", ("size",)),
        ScoredPair("q2", 0.0, 1.0, 50, 100, "A", "B", "q2-A", "q2-B", ("size", "shots")),
        ScoredPair("q3", 1.0, 1.0, 80, 80, "D", "E", "q3-D", "q3-E", ("shots",)),
        ScoredPair("q4", 3.0, 0.0, 95, 100, "A", "E", "q4-A", "q4-E", ("size",)),
    ]
    card = make_card(pairs)
    assert card.accuracy.value == (1 + 0 + 0.5 + 1) / 4
    assert card.longer_wins.value == (1 + 0 + 0.5 + 0) / 4
    assert card.matched is not None
    assert (card.matched.value, card.matched.items) == (0.75, 2)  # q3 and q4
    assert card.chooses_longer is not None
    assert card.chooses_longer.value == pytest.approx(2 / 3)  # q1 and q2 yes, q4 no; q3 decides nothing
    assert card.flat_share == 0.25
    assert {axis: found.value for axis, found in card.axes.items()} == {"size": 1.0, "several": 0.0, "shots": 0.5}
    assert {name: found.answers for name, found in card.histograms.items()} == {"A": 3, "B": 1, "D": 1, "E": 3}
    assert card.histograms["A"].mean == pytest.approx(5 / 3)
    assert sum(sum(found.counts) for found in card.histograms.values()) == 8
    assert "agreement along size" in card_page(card, "Reward model")


def test_calibration_by_hand():
    """Two pairs at confidence .75, one of them right: both errors are |.5 - .75|; Brier (.0625 + .5625) / 2."""
    found = calibrate(np.log(3) * np.array([1.0, -1.0]))
    assert [(place.pairs, place.accuracy) for place in found.curve] == [(2, 0.5)]
    assert found.curve[0].confidence == pytest.approx(0.75)
    assert found.ece == pytest.approx(0.25)
    assert found.brier == pytest.approx((0.0625 + 0.5625) / 2)


def test_the_temperature_is_found():
    """Outcomes drawn at the true margin, margins reported three times too large: temperature 3, and then calibrated."""
    rng = np.random.default_rng(2)
    true = rng.normal(0, 1.5, 20_000)
    signed = np.where(rng.random(len(true)) < sigmoid(true), true, -true)
    found = calibrate(3 * signed)
    assert found.temperature == pytest.approx(3.0, rel=0.05)
    assert found.ece > 0.05
    assert calibrate(signed).ece < 0.02


@pytest.mark.parametrize("margins", [[1.0, 2.0], [-1.0], [0.0, 0.0]])
def test_without_right_and_wrong_pairs_no_temperature_is_best(margins: list[float]):
    assert calibrate(np.array(margins)).temperature is None


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=50))
def test_calibration_figures_stay_in_bounds(margins: list[float]):
    found = calibrate(np.array(margins))
    assert sum(place.pairs for place in found.curve) == len(margins)
    assert 0 <= found.ece <= 1
    assert 0 <= found.brier <= 1


def planted(quality: float, length: float, scale: float = 1.0, pairs: int = 400) -> RewardCard:
    """A reward model that is so much after quality and length; the better answer is the longer one in 65%."""
    rng = np.random.default_rng(4)
    scored = []
    for number in range(pairs):
        better, worse = rng.normal(1.0), rng.normal(-1.0)
        chars = sorted(int(x) for x in rng.normal(400, 120, 2).clip(20))
        own = chars[::-1] if rng.random() < 0.65 else chars
        scores = [scale * (quality * q + length * c / 100) for q, c in zip((better, worse), own, strict=True)]
        scored.append(ScoredPair(f"q{number}", scores[0], scores[1], own[0], own[1]))
    return make_card(scored)


def test_planted_models_are_told_apart():
    good, collapsed, length_only = planted(1, 0.1), planted(1, 0.1, scale=1e-4), planted(0, 1)
    assert good.flags == {}
    assert good.accuracy.low > 0.75
    assert set(collapsed.flags) == {"collapsed"}
    assert collapsed.accuracy.value == good.accuracy.value  # the order of its scores is as good; PPO would see nothing
    assert set(length_only.flags) == {"length_bias"}
    assert "threshold 90%" in length_only.flags["length_bias"]


def test_mostly_length_is_seen_on_pairs_of_like_length():
    rng = np.random.default_rng(8)
    pairs = []
    for number in range(600):
        chars = [int(x) for x in rng.integers(100, 500, 2)]
        noise = rng.normal(0, 60, 2)
        pairs.append(ScoredPair(f"q{number}", chars[0] + noise[0], chars[1] + noise[1], chars[0], chars[1]))
    card = make_card(pairs)
    assert card.chooses_longer is not None
    assert 0.7 < card.chooses_longer.value < 0.9
    assert "on pairs of like length" in card.flags["length_bias"]


def test_a_handful_of_pairs_raises_no_flag():
    pairs = [ScoredPair(f"q{n}", 2.0, 1.0, 100, 50) for n in range(19)]
    assert make_card(pairs).flags == {}
    assert set(make_card(pairs, RewardCardSettings(least_pairs=19)).flags) == {"length_bias"}, (
        "the profile says how many"
    )
    assert set(make_card([*pairs, ScoredPair("q19", 2.0, 1.0, 100, 50)]).flags) == {"length_bias"}


def test_a_card_needs_pairs():
    with pytest.raises(ValueError, match="no values"):
        make_card([])
