"""Pairs of answers as token ids: what the reward model's job and DPO's job have in common before they train."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from data_contracts.errors import EmptyResultError
from data_contracts.tables.preference_pairs import PreferencePair
from models.lm.chat_template import RenderedTurn
from models.lm.tokenizer_check import TruncationCount, fit_response


@dataclass
class TokenizedPairs:
    """Both sides of each pair as token ids, the pairs they came from, and how many did not fit."""

    pair_ids: list[str] = field(default_factory=list)
    chosen: list[RenderedTurn] = field(default_factory=list)
    rejected: list[RenderedTurn] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    count: TruncationCount = field(default_factory=TruncationCount)
    alike: int = 0  # pairs left out because both answers have the same tokens

    def lengths(self) -> list[int]:
        """Tokens of the longer side of each pair."""
        return [max(len(up.ids), len(down.ids)) for up, down in zip(self.chosen, self.rejected, strict=True)]

    def metrics(self) -> dict[str, float]:
        """The counts as manifest metrics."""
        return self.count.metrics() | {"pairs_alike_dropped": float(self.alike)}

    def require_pairs(self, job: str, max_length: int) -> None:
        """Raise EmptyResultError when no pair is left to train on."""
        if not self.pair_ids:
            raise EmptyResultError(
                f"{job}: no pair to train on: {self.count.rows} of split 'train' read, {self.count.dropped_rows} longer "
                f"than max_length {max_length}, {self.alike} with two answers of the same tokens"
            )


def tokenize_pairs(pairs: Iterable[PreferencePair], tokenizer: Any, max_length: int) -> TokenizedPairs:
    """Render and tokenize both sides of every pair that fits `max_length` tokens.

    A context that is too long loses its oldest turns, the same for both sides.
    """
    found = TokenizedPairs()
    for pair in pairs:
        turns = fit_response(tokenizer, pair.context, [pair.chosen, pair.rejected], max_length, found.count)
        if turns is None:
            continue
        if turns[0] == turns[1]:  # different only in what is not encoded, as a spelt end token
            found.alike += 1
            continue
        found.pair_ids.append(pair.pair_id)
        found.chosen.append(turns[0])
        found.rejected.append(turns[1])
        found.margins.append(pair.margin)
    return found
