"""Preference pairs as token ids, as every training job on pairs reads them: reward models, DPO and its variants.

Departures from the papers: a context too long for `max_length` loses its oldest turns, both answers the same; a pair that
still does not fit is dropped, and so is one whose answers have the same tokens. All are counted.
"""

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from data_contracts.conversation import from_column
from data_contracts.errors import EmptyResultError
from data_contracts.tables.arrow import compute as pc
from models.lm.chat_template import RenderedTurn
from models.lm.tokenizer_check import TruncationCount, fit_response


@dataclass
class PairTokens:
    """Pairs of answers to one context as token ids, and the rows of the table they came from."""

    pair_ids: list[str] = field(default_factory=list)
    chosen: list[RenderedTurn] = field(default_factory=list)
    rejected: list[RenderedTurn] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    alike: int = 0  # pairs left out because both answers have the same tokens

    def lengths(self) -> list[int]:
        """Tokens of the longer side of each pair."""
        return [max(len(up.ids), len(down.ids)) for up, down in zip(self.chosen, self.rejected, strict=True)]


def tokenize_pairs(table: pa.Table, split: str, tokenizer: Any, max_length: int, count: TruncationCount) -> PairTokens:
    """Render and tokenize every pair of a split that fits `max_length` tokens; `table` holds `PreferencePairs`."""
    pairs = PairTokens()
    for row in table.filter(pc.equal(pc.field("split"), split)).to_pylist():
        answers = [row["chosen"], row["rejected"]]
        turns = fit_response(tokenizer, from_column(row["context"]), answers, max_length, count)
        if turns is None:
            continue
        if turns[0] == turns[1]:  # different only in what is not encoded, as a spelt end token
            pairs.alike += 1
            continue
        pairs.pair_ids.append(row["pair_id"])
        pairs.chosen.append(turns[0])
        pairs.rejected.append(turns[1])
        pairs.margins.append(row["margin"])
    return pairs


def tokenize_training_pairs(
    job: str, table: pa.Table, tokenizer: Any, max_length: int, count: TruncationCount
) -> PairTokens:
    """`tokenize_pairs` of split 'train'.

    Raises:
        EmptyResultError: no pair is left to train on; the message begins with `job`.
    """
    pairs = tokenize_pairs(table, "train", tokenizer, max_length, count)
    if not pairs.pair_ids:
        raise EmptyResultError(
            f"{job}: no pair to train on: {count.rows} of split 'train' read, {count.dropped_rows} longer than "
            f"max_length {max_length}, {pairs.alike} with two answers of the same tokens"
        )
    return pairs
