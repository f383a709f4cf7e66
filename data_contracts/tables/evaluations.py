"""Results of evaluations: one row per item, so that any aggregate can be recomputed."""

from typing import Any

from data_contracts.rows.arrow import compute as pc
from data_contracts.rows.row import Row
from data_contracts.rows.rules import Rule, finite

LONGER_WINS = "longer_wins"  # the subject that prefers the longer answer; its option scores are lengths in characters


class EvaluatedItem(Row, table="evaluations", key="evaluation_id", version=2):
    """`subject` is the role of the model judged (base, sft, ppo, reward, as_is); `value` is the item's score.

    Multiple-choice rows carry `options`, `option_scores` and `correct_option`; judged generations carry `output`. An
    item asked in several ways (both A/B orders) has a row per `variant` under one `item_id`. `prompt` leaves out shots
    that other items share. An item that could not be asked has no value and says why in `skipped_because`.
    """

    evaluation_id: str
    benchmark: str
    group: str | None = None
    subject: str
    item_id: str
    variant: str | None = None
    prompt: str
    output: str | None = None
    options: tuple[str, ...] | None = None
    option_scores: tuple[float, ...] | None = None
    correct_option: int | None = None
    metric: str
    value: float | None
    skipped_because: str | None = None
    explanation: str | None = None

    rules = (
        finite("value"),
        Rule(
            "a row has a value exactly when it was not skipped",
            lambda t: pc.not_equal(pc.is_null(t["value"]), pc.is_null(t["skipped_because"])),
        ),
    )


def evaluated_item(
    benchmark: str, subject: str, item_id: str, prompt: str, metric: str, value: float | None, **more: Any
) -> EvaluatedItem:
    """An `EvaluatedItem` whose id follows from benchmark, subject, item and variant."""
    parts = (benchmark, subject, item_id, more.get("variant"))
    return EvaluatedItem(
        evaluation_id=":".join(part for part in parts if part is not None),
        benchmark=benchmark,
        subject=subject,
        item_id=item_id,
        prompt=prompt,
        metric=metric,
        value=value,
        **more,
    )
