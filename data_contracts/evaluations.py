"""Results of evaluations: one row per item, so that any aggregate can be recomputed."""

import pyarrow as pa

from data_contracts.contract import Contract, finite, integer, number, text


class Evaluations(Contract):
    """`subject` is the role of the model judged (base, sft, ppo, reward, as_is); `value` is the item's score.

    Multiple-choice rows carry `option_scores` and `correct_option`; judged generations carry `output`.
    """

    name = "evaluations"
    schema = pa.schema(
        [
            text("evaluation_id"),
            text("benchmark"),
            text("group", nullable=True),
            text("subject"),
            text("item_id"),
            text("prompt"),
            text("output", nullable=True),
            pa.field("option_scores", pa.list_(pa.float64()), nullable=True),
            integer("correct_option", nullable=True),
            text("metric"),
            number("value"),
            text("explanation", nullable=True),
        ]
    )
    key = "evaluation_id"
    rules = (finite("value"),)
