"""Results of evaluations: one row per item, so that any aggregate can be recomputed."""

from typing import Any

import pyarrow as pa

from data_contracts.tables.arrow import compute as pc
from data_contracts.tables.contract import Contract, Rule, finite, integer, number, text

LONGER_WINS = "longer_wins"  # the subject that prefers the longer answer; its option scores are lengths in characters


class Evaluations(Contract):
    """`subject` is the role of the model judged (base, sft, ppo, reward, as_is); `value` is the item's score.

    Multiple-choice rows carry `options`, `option_scores` and `correct_option`; judged generations carry `output`. An
    item asked in several ways (both A/B orders) has a row per `variant` under one `item_id`. `prompt` leaves out shots
    that other items share. An item that could not be asked has no value and says why in `skipped_because`.
    """

    name = "evaluations"
    version = 2
    schema = pa.schema(
        [
            text("evaluation_id"),
            text("benchmark"),
            text("group", nullable=True),
            text("subject"),
            text("item_id"),
            text("variant", nullable=True),
            text("prompt"),
            text("output", nullable=True),
            pa.field("options", pa.list_(pa.string()), nullable=True),
            pa.field("option_scores", pa.list_(pa.float64()), nullable=True),
            integer("correct_option", nullable=True),
            text("metric"),
            number("value", nullable=True),
            text("skipped_because", nullable=True),
            text("explanation", nullable=True),
        ]
    )
    key = "evaluation_id"
    rules = (
        finite("value"),
        Rule(
            "a row has a value exactly when it was not skipped",
            lambda t: pc.not_equal(pc.is_null(t["value"]), pc.is_null(t["skipped_because"])),
        ),
    )


def evaluation_row(
    benchmark: str, subject: str, item_id: str, prompt: str, metric: str, value: float | None, **more: Any
) -> dict[str, Any]:
    """A row of `Evaluations`; columns that are not given are null."""
    variant = more.get("variant")
    empty = dict.fromkeys(Evaluations.schema.names)
    return empty | {
        "evaluation_id": ":".join(part for part in (benchmark, subject, item_id, variant) if part is not None),
        "benchmark": benchmark,
        "subject": subject,
        "item_id": item_id,
        "prompt": prompt,
        "metric": metric,
        "value": value,
        **more,
    }
