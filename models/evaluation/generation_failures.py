"""How often answers fail in form: empty, repetitive, unfinished. Whether an answer is on topic is a judge's business."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from models.evaluation.intervals import Estimate, estimate_mean

NGRAM, TOO_OFTEN = 4, 3  # four words in a row that stand in an answer three times
_WORD = re.compile(r"\w+")
_ENDS = (".", "!", "?", '"', "'", ")", "”", "’", "`", ":)")


def is_repetitive(answer: str) -> bool:
    """Whether some four words in a row stand in it three times or more."""
    words = _WORD.findall(answer.casefold())
    grams = Counter(zip(*(words[start:] for start in range(NGRAM)), strict=False))
    return max(grams.values(), default=0) >= TOO_OFTEN


def is_unfinished(answer: str, finish_reason: str) -> bool:
    """Whether it was cut at the limit of new tokens, or ends without a mark."""
    return finish_reason == "length" or not answer.rstrip().endswith(_ENDS)


def failure_rates(answers: Iterable[dict[str, Any]]) -> dict[str, Estimate]:
    """Share of empty, repetitive and unfinished answers; empty ones are not counted as unfinished too.

    Rows have `answer` and `finish_reason`; none give no rates.
    """
    rows = list(answers)
    if not rows:
        return {}
    flags = {
        "empty": [not row["answer"].strip() for row in rows],
        "repetitive": [is_repetitive(row["answer"]) for row in rows],
        "unfinished": [
            bool(row["answer"].strip()) and is_unfinished(row["answer"], row["finish_reason"]) for row in rows
        ],
    }
    return {name: estimate_mean([float(flag) for flag in found]) for name, found in flags.items()}
