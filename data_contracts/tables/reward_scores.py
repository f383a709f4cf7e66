"""Rewards a reward model gives to both sides of a comparison (held-out accuracy, calibration, length)."""

from enum import StrEnum

from data_contracts.rows.row import Row
from data_contracts.rows.rules import at_least, finite


class PairSplit(StrEnum):
    """What a pair of answers is for: training, or the figures on pairs that were never trained on."""

    TRAIN = "train"
    HELDOUT = "heldout"


class RewardScore(Row, table="reward_scores", key="pair_id"):
    """One row per scored comparison; `pair_id` is the comparison's id in its own table."""

    pair_id: str
    query_id: str
    split: PairSplit
    chosen_score: float
    rejected_score: float
    chosen_chars: int
    rejected_chars: int

    rules = (
        finite("chosen_score"),
        finite("rejected_score"),
        at_least("chosen_chars", 0),
        at_least("rejected_chars", 0),
    )
