"""Rewards a reward model gives to both sides of a comparison (held-out accuracy, calibration, length)."""

import pyarrow as pa

from data_contracts.tables.contract import Contract, at_least, finite, integer, number, one_of, text

SPLITS = ("train", "heldout")


class RewardScores(Contract):
    """One row per scored comparison; `pair_id` is the comparison's id in its own table."""

    name = "reward_scores"
    schema = pa.schema(
        [
            text("pair_id"),
            text("query_id"),
            text("split"),
            number("chosen_score"),
            number("rejected_score"),
            integer("chosen_chars"),
            integer("rejected_chars"),
        ]
    )
    key = "pair_id"
    rules = (
        one_of("split", SPLITS),
        finite("chosen_score"),
        finite("rejected_score"),
        at_least("chosen_chars", 0),
        at_least("rejected_chars", 0),
    )
