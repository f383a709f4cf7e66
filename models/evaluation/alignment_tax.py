"""The alignment tax (ALMoST section 4.1): what a trained model lost of what its base could do, item by item."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from models.evaluation.intervals import Estimate, estimate_mean

BASE = "base"
TAXED = ("mmlu", "lambada")


def alignment_tax(rows: Iterable[dict[str, Any]], base: str = BASE) -> dict[tuple[str, str], Estimate]:
    """(benchmark, subject) -> mean loss of accuracy against the base, on the items that both were asked.

    Positive is a loss. The interval is that of paired differences.
    """
    values: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row["benchmark"].startswith(TAXED) and row["value"] is not None:
            values[row["benchmark"], row["subject"]][row["item_id"]] = row["value"]
    taxes = {}
    for (benchmark, subject), own in values.items():
        before = values.get((benchmark, base), {})
        losses = [before[item] - value for item, value in own.items() if item in before]
        if subject != base and losses:
            taxes[benchmark, subject] = estimate_mean(losses)
    return taxes
