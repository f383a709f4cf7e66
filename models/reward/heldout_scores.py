"""What a reward model says of held-out pairs: their rows in `RewardScores`, and accuracy, loss and margin."""

import math
from collections.abc import Sequence
from typing import Any

from data_contracts.conversation import Role, Turn, from_column


def conversations(rows: Sequence[dict[str, Any]], side: str) -> list[tuple[Turn, ...]]:
    """The pairs' contexts, each with the answer of one side (`chosen` or `rejected`)."""
    return [(*from_column(row["context"]), Turn(Role.ASSISTANT, row[side])) for row in rows]


def score_rows(
    pairs: Sequence[dict[str, Any]], chosen: Sequence[float], rejected: Sequence[float]
) -> list[dict[str, Any]]:
    """Rows of `RewardScores` from rows of `PreferencePairs` and both sides' scores."""
    return [
        {
            "pair_id": row["pair_id"],
            "query_id": row["query_id"],
            "split": row["split"],
            "chosen_score": up,
            "rejected_score": down,
            "chosen_chars": len(row["chosen"]),
            "rejected_chars": len(row["rejected"]),
        }
        for row, up, down in zip(pairs, chosen, rejected, strict=True)
    ]


def pair_metrics(chosen: Sequence[float], rejected: Sequence[float]) -> dict[str, float]:
    """Accuracy (a tie counts one half), mean loss, mean margin and number of pairs; only the number when there are none."""
    count = len(chosen)
    if count == 0:
        return {"heldout_pairs": 0.0}
    margins = [up - down for up, down in zip(chosen, rejected, strict=True)]
    losses = [max(-margin, 0.0) + math.log1p(math.exp(-abs(margin))) for margin in margins]
    return {
        "heldout_pairs": float(count),
        "heldout_accuracy": sum(1.0 if m > 0 else 0.5 if m == 0 else 0.0 for m in margins) / count,
        "heldout_loss": sum(losses) / count,
        "heldout_margin": sum(margins) / count,
    }
