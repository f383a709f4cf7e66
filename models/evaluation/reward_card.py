"""The reward-model card: how good, how calibrated, and whether it fell into a known trap (ALMoST section 4.2).

Two flags, with their thresholds in `RewardCardSettings`: *collapsed*, when nearly all margins are too small to say anything,
and *length bias*, when the choice is nearly always the longer answer, or when the model is no better than chance on
pairs of like length although it decides others by length. A flag is a reason to look, not a proof.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from data_contracts.config.evaluation import RewardCardSettings
from models.evaluation.statistics.calibration import Calibration, calibrate
from models.evaluation.statistics.intervals import Estimate, estimate_mean

HISTOGRAM_BINS = 20


@dataclass(frozen=True)
class ScoredPair:
    """A pair of answers as the reward model scored it; `better` is the side that should win.

    `axes` are what tells the two responders apart: size, shots, demonstrations; empty where there are no responders.
    """

    query_id: str
    better_score: float
    worse_score: float
    better_chars: int
    worse_chars: int
    better_responder: str | None = None
    worse_responder: str | None = None
    better_id: str | None = None
    worse_id: str | None = None
    axes: tuple[str, ...] = ()

    @property
    def margin(self) -> float:
        return self.better_score - self.worse_score

    @property
    def right(self) -> float:
        return _first_higher(self.better_score, self.worse_score)


@dataclass(frozen=True)
class Histogram:
    """Scores of one responder's answers in the card's common bins."""

    counts: tuple[int, ...]
    mean: float
    answers: int


@dataclass(frozen=True)
class RewardCard:
    """Everything the card says; an estimate is None where no pair speaks to it."""

    pairs: int
    accuracy: Estimate
    longer_wins: Estimate
    matched: Estimate | None
    matched_longer_wins: Estimate | None
    chooses_longer: Estimate | None
    flat_share: float
    calibration: Calibration
    axes: dict[str, Estimate]
    edges: tuple[float, ...]
    histograms: dict[str, Histogram]
    flags: dict[str, str] = field(default_factory=dict)
    enough_for_flags: bool = True


def make_card(pairs: Sequence[ScoredPair], settings: RewardCardSettings | None = None) -> RewardCard:
    """The card of some scored pairs.

    Raises:
        ValueError: there are no pairs.
    """
    limits = settings or RewardCardSettings()
    margins = np.array([pair.margin for pair in pairs])
    matched = [pair for pair in pairs if _like_length(pair, limits.like_length)]
    decided = [pair for pair in pairs if pair.better_chars != pair.worse_chars and pair.margin]
    longer = [float((pair.margin > 0) == (pair.better_chars > pair.worse_chars)) for pair in decided]
    edges, histograms = _histograms(pairs)
    card = RewardCard(
        pairs=len(pairs),
        accuracy=_estimate([pair.right for pair in pairs], pairs),
        longer_wins=_estimate([_longer_right(pair) for pair in pairs], pairs),
        matched=_estimate([pair.right for pair in matched], matched) if matched else None,
        matched_longer_wins=_estimate([_longer_right(pair) for pair in matched], matched) if matched else None,
        chooses_longer=_estimate(longer, decided) if decided else None,
        flat_share=float(np.mean(np.abs(margins) < limits.flat_margin)),
        calibration=calibrate(margins),
        axes=_axes(pairs),
        edges=edges,
        histograms=histograms,
        enough_for_flags=len(pairs) >= limits.least_pairs,
    )
    card.flags.update(_flags(card, limits))
    return card


def _flags(card: RewardCard, limits: RewardCardSettings) -> dict[str, str]:
    flags: dict[str, str] = {}
    if not card.enough_for_flags:
        return flags
    if card.flat_share >= limits.flat_share:
        flags["collapsed"] = (
            f"{card.flat_share:.0%} of the margins are below {limits.flat_margin} (threshold {limits.flat_share:.0%})"
        )
    if card.chooses_longer is None:
        return flags
    chosen = card.chooses_longer.value
    if chosen >= limits.longer_share:
        flags["length_bias"] = f"it chooses the longer answer in {chosen:.0%} (threshold {limits.longer_share:.0%})"
    elif (
        chosen >= limits.suspicious_longer_share
        and card.matched is not None
        and card.matched.items >= limits.least_matched_pairs
        and card.matched.low <= 0.5
    ):
        flags["length_bias"] = (
            f"it chooses the longer answer in {chosen:.0%} (threshold {limits.suspicious_longer_share:.0%}), and on "
            f"pairs of like length it is not shown to be better than chance: {card.matched}"
        )
    return flags


def _axes(pairs: Sequence[ScoredPair]) -> dict[str, Estimate]:
    """Agreement with the rule of thumb on pairs that differ along one axis only, and on those along several."""
    groups: dict[str, list[ScoredPair]] = defaultdict(list)
    for pair in pairs:
        if pair.axes:
            groups[pair.axes[0] if len(pair.axes) == 1 else "several"].append(pair)
    return {axis: _estimate([pair.right for pair in own], own) for axis, own in sorted(groups.items())}


def _histograms(pairs: Sequence[ScoredPair]) -> tuple[tuple[float, ...], dict[str, Histogram]]:
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    for pair in pairs:
        sides = (
            (pair.better_responder, pair.better_id, pair.better_score),
            (pair.worse_responder, pair.worse_id, pair.worse_score),
        )
        for responder, name, score in sides:
            if responder is not None and name is not None:
                scores[responder][name] = score  # an answer stands in several pairs
    everything = [score for own in scores.values() for score in own.values()]
    if not everything:
        return (), {}
    edges = np.histogram_bin_edges(everything, bins=HISTOGRAM_BINS)
    found = {}
    for responder, own in sorted(scores.items()):
        values = list(own.values())
        counts = tuple(int(count) for count in np.histogram(values, bins=edges)[0])
        found[responder] = Histogram(counts, float(np.mean(values)), len(values))
    return tuple(float(edge) for edge in edges), found


def _like_length(pair: ScoredPair, share: float) -> bool:
    return abs(pair.better_chars - pair.worse_chars) <= share * max(pair.better_chars, pair.worse_chars)


def _longer_right(pair: ScoredPair) -> float:
    return _first_higher(pair.better_chars, pair.worse_chars)


def _first_higher(first: float, second: float) -> float:
    return 0.5 if first == second else float(first > second)


def _estimate(values: Sequence[float], pairs: Sequence[ScoredPair]) -> Estimate:
    """Pairs of one query are resampled together."""
    return estimate_mean(values, [pair.query_id for pair in pairs])
