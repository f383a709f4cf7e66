"""How often answers fail: empty, repetitive, unfinished, off topic (what the last is: `topics.py`)."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from data_contracts.finish_reason import FinishReason
from data_contracts.tables.verdicts import ModelAnswer
from models.evaluation.paper_tables import PaperTable
from models.evaluation.statistics.intervals import Estimate, estimate_mean

NGRAM, TOO_OFTEN = 4, 3  # four words in a row that stand in an answer three times
_WORD = re.compile(r"\w+")
_ENDS = (".", "!", "?", '"', "'", ")", "”", "’", "`", ":)")


def is_repetitive(answer: str) -> bool:
    """Whether some four words in a row stand in it three times or more."""
    words = _WORD.findall(answer.casefold())
    grams = Counter(zip(*(words[start:] for start in range(NGRAM)), strict=False))
    return max(grams.values(), default=0) >= TOO_OFTEN


def is_unfinished(answer: str, finish_reason: FinishReason) -> bool:
    """Whether it was cut at the limit of new tokens, or ends without a mark."""
    return finish_reason is FinishReason.LENGTH or not answer.rstrip().endswith(_ENDS)


def failure_table(failures: Mapping[str, Mapping[str, Estimate]]) -> PaperTable | None:
    """Percentages of failed answers by model; None where no model answered."""
    names = list(dict.fromkeys(name for own in failures.values() for name in own))
    rows = [(subject, *(_cell(own.get(name)) for name in names)) for subject, own in failures.items()]
    columns = tuple(name.replace("_", " ") for name in names)
    return PaperTable("Answers that failed in form or topic", columns, tuple(rows)) if names else None


def _cell(rate: Estimate | None) -> str:
    if rate is None:
        return "not measured"
    return f"{100 * rate.value:.1f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"


def failure_rates(answers: Iterable[ModelAnswer], off_topic: Sequence[bool] = ()) -> dict[str, Estimate]:
    """Share of empty, repetitive and unfinished answers; empty ones are not counted as unfinished too.

    No answers give no rates. `off_topic` are the findings on those answers that could
    be scored: with none, that rate is absent.
    """
    given = list(answers)
    if not given:
        return {}
    flags = {
        "empty": [not one.answer.strip() for one in given],
        "repetitive": [is_repetitive(one.answer) for one in given],
        "unfinished": [bool(one.answer.strip()) and is_unfinished(one.answer, one.finish_reason) for one in given],
    }
    if off_topic:
        flags["off_topic"] = list(off_topic)
    return {name: estimate_mean([float(flag) for flag in found]) for name, found in flags.items()}
