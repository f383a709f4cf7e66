"""The heuristic filter of the comparisons (ALMoST section 2.1, Figure 6). Nothing is thrown away: rows get verdicts.

1. Words: a response that contains a refusal, or begins with a filler word, is discarded. It leaves every pair of its
   query, and the mean M and standard deviation S of the query's response lengths.
2. Length: a pair stays if len(chosen) > len(rejected) or len(chosen) > M - S/2; lengths in characters, S with ddof 0.
3. Pairing (upstream's rule, an option): a response is chosen at most once, against its first surviving opponent.

Departures: empty and identical responses are discarded by name (the paper does not mention them). Upstream's shape
rules (under 50 characters, ending in "?" or ":", ...) are an option, off by default as the paper has none.
"""

import re
from statistics import fmean, pstdev
from typing import Any

from data_contracts.config.filter import HeuristicFilter
from data_contracts.config.ranking import Pairing, Ranking
from data_contracts.errors import EmptyResultError
from data_contracts.store.artifact import Artifact
from data_contracts.tables.comparisons import Comparisons, DropReason, Verdict
from tasks.runtime.step import step
from tasks.runtime.step_context import read, write

UPSTREAM_LEAST_CHARS = 50


@step(version="1")
def filter_comparisons(
    comparisons: Artifact[Comparisons], heuristics: HeuristicFilter, ranking: Ranking
) -> Artifact[Comparisons]:
    """Give each comparison the heuristic filters' verdicts; raise EmptyResultError when none is left."""
    judged = judge_comparisons(read(Comparisons, comparisons).to_pylist(), heuristics, ranking.pairing)
    if judged and not any(row["kept"] for row in judged):
        reasons = sorted({str(row["dropped_because"]) for row in judged})
        raise EmptyResultError(
            f"filter_comparisons: none of {len(judged):,} comparisons is left ({', '.join(reasons)}); "
            f"loosen filter.* or mine more queries (mining.queries)"
        )
    return write(Comparisons, Comparisons.from_rows(judged))


def judge_comparisons(
    comparisons: list[dict[str, Any]], heuristics: HeuristicFilter, pairing: Pairing
) -> list[dict[str, Any]]:
    """The comparisons with verdicts of words, length and pairing, in the given order."""
    by_query: dict[str, list[dict[str, Any]]] = {}
    for row in comparisons:
        by_query.setdefault(row["query_id"], []).append(dict(row))
    judged = []
    for rows in by_query.values():
        _judge_query(rows, heuristics)
        if pairing is Pairing.UPSTREAM:
            _judge_pairing(rows)
        judged += rows
    return judged


def discard_reason(response: str, heuristics: HeuristicFilter) -> tuple[DropReason, str] | None:
    """Why a response is discarded, with the evidence, or None."""
    text = response.strip()
    if not text:
        return DropReason.EMPTY, ""
    if not heuristics.enabled:
        return None
    lowered = _plain(text)
    for refusal in heuristics.refusals:
        if _plain(refusal) in lowered:
            return DropReason.REFUSAL, refusal
    for filler in heuristics.fillers:
        if re.match(rf"{re.escape(_plain(filler))}(?!\w)", lowered):
            return DropReason.FILLER, filler
    if heuristics.upstream_shape:
        defect = _shape_defect(text)
        if defect is not None:
            return DropReason.SHAPE, defect
    return None


def _plain(text: str) -> str:
    """Lower case, with typewriter apostrophes."""
    return text.lower().replace("’", "'")


def _shape_defect(text: str) -> str | None:
    """Upstream's shape rules; not in the paper."""
    if len(text) < UPSTREAM_LEAST_CHARS:
        return f"{len(text)} characters"
    if text.endswith(("?", ":")) or not text.endswith((".", "!")):
        return f"ends with {text[-1]!r}"
    if "Human:" in text:
        return "contains 'Human:'"
    return None


def _judge_query(rows: list[dict[str, Any]], heuristics: HeuristicFilter) -> None:
    """Verdicts of words and length for all pairs of one query, in place."""
    responses = {row["chosen_response_id"]: row["chosen"] for row in rows}
    responses |= {row["rejected_response_id"]: row["rejected"] for row in rows}
    discarded = {name: discard_reason(text, heuristics) for name, text in responses.items()}
    lengths = [len(responses[name]) for name, reason in discarded.items() if reason is None]
    mean, std = (fmean(lengths), pstdev(lengths)) if lengths else (None, None)
    for row in rows:
        reason = discarded[row["chosen_response_id"]] or discarded[row["rejected_response_id"]]
        if reason is None and row["chosen"].strip() == row["rejected"].strip():
            reason = DropReason.IDENTICAL, ""
        row["verdict_words"] = (Verdict.DROP if reason else Verdict.KEEP).value
        if reason is not None:
            _drop(row, *reason)
        if not (heuristics.enabled and heuristics.length) or reason is not None or mean is None or std is None:
            continue
        row["length_mean"], row["length_std"] = mean, std
        fits = long_enough(len(row["chosen"]), len(row["rejected"]), mean, std, heuristics.length_ties)
        row["verdict_length"] = (Verdict.KEEP if fits else Verdict.DROP).value
        if not fits:
            _drop(row, DropReason.SHORT_CHOSEN, f"{len(row['chosen'])} <= {mean - std / 2:.1f}")


def long_enough(chosen: int, rejected: int, mean: float, std: float, ties: bool = False) -> bool:
    """The length rule: len(chosen) > len(rejected) or len(chosen) > M - S/2 (`ties`: upstream's >=)."""
    bound = mean - std / 2
    return chosen > rejected or (chosen >= bound if ties else chosen > bound)


def _judge_pairing(rows: list[dict[str, Any]]) -> None:
    """Upstream's rule: of the pairs that survive, each chosen response keeps its first opponent in rank order."""
    used: set[str] = set()
    for row in sorted(rows, key=lambda row: (row["chosen_rank"], row["rejected_rank"])):
        if not row["kept"]:
            continue
        again = row["chosen_response_id"] in used
        used.add(row["chosen_response_id"])
        row["verdict_pairing"] = (Verdict.DROP if again else Verdict.KEEP).value
        if again:
            _drop(row, DropReason.CHOSEN_BEFORE, row["chosen_response_id"])


def _drop(row: dict[str, Any], reason: DropReason, evidence: str) -> None:
    row["kept"], row["dropped_because"], row["evidence"] = False, reason.value, evidence
