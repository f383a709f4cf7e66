"""How often gold agrees with the assumed order of comparisons: which rows count, and what counts as agreeing."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

HEURISTIC_VERDICTS = ("verdict_words", "verdict_length", "verdict_pairing")
# Groups of comparisons: all, those the heuristic filter passes, and those every filter passes.
VERDICTS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "all": lambda row: True,
    "heuristic": lambda row: "drop" not in [row[name] for name in HEURISTIC_VERDICTS],
    "kept": lambda row: bool(row["kept"]),
}


def agreements(comparisons: Iterable[dict[str, Any]], score: Mapping[str, float]) -> list[tuple[dict[str, Any], bool]]:
    """Comparisons whose two responses differ in gold, each with whether the chosen one is better."""
    judged = [
        (row, score[row["chosen_response_id"]], score[row["rejected_response_id"]])
        for row in comparisons
        if row["chosen_response_id"] in score and row["rejected_response_id"] in score
    ]
    return [(row, chosen > rejected) for row, chosen, rejected in judged if chosen != rejected]
