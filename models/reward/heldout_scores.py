"""What a reward model says of held-out pairs: their rows of `RewardScore`, and accuracy, loss and margin."""

import math
from collections.abc import Sequence

from data_contracts.conversation import Conversation, Role, Turn
from data_contracts.tables.preference_pairs import PreferencePair
from data_contracts.tables.reward_scores import RewardScore


def both_sides(pairs: Sequence[PreferencePair]) -> list[Conversation]:
    """The pairs' contexts with their chosen answers, then with their rejected ones: 2 x pairs conversations."""
    sides = ([pair.chosen for pair in pairs], [pair.rejected for pair in pairs])
    return [
        (*pair.context, Turn(Role.ASSISTANT, answer))
        for answers in sides
        for pair, answer in zip(pairs, answers, strict=True)
    ]


def reward_scores(
    pairs: Sequence[PreferencePair], chosen: Sequence[float], rejected: Sequence[float]
) -> list[RewardScore]:
    """The rows that say how the pairs' sides were scored."""
    return [
        RewardScore(
            pair_id=pair.pair_id,
            query_id=pair.query_id,
            split=pair.split,
            chosen_score=up,
            rejected_score=down,
            chosen_chars=len(pair.chosen),
            rejected_chars=len(pair.rejected),
        )
        for pair, up, down in zip(pairs, chosen, rejected, strict=True)
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
