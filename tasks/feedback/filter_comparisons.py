"""The heuristic filter of the comparisons (ALMoST section 2.1, Figure 6). Nothing is thrown away: rows get verdicts.

1. Words: a response that contains a refusal, or begins with a filler word, is discarded. It leaves every pair of its
   query, and the mean M and standard deviation S of the query's response lengths.
2. Length: a pair stays if len(chosen) > len(rejected) or len(chosen) > M - S/2; lengths in characters, S with ddof 0.
3. Pairing (upstream's rule, an option): a response is chosen at most once, against its first surviving opponent.

Departures: empty and identical responses are discarded by name (the paper does not mention them). Upstream's shape
rules (under 50 characters, ending in "?" or ":", ...) are an option, off by default as the paper has none.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from statistics import fmean, pstdev

from data_contracts.config.filter import HeuristicFilter
from data_contracts.config.ranking import Pairing, Ranking
from data_contracts.errors import EmptyResultError
from data_contracts.rows.rows import Rows, stream
from data_contracts.tables.comparisons import Comparison, DropReason, FilterVerdict
from tasks.runtime.phases import Phase
from tasks.runtime.step import step

UPSTREAM_LEAST_CHARS = 50


@step(version="2", phase=Phase.COMPARISONS)
def filter_comparisons(
    *, comparisons: Rows[Comparison], heuristics: HeuristicFilter, ranking: Ranking
) -> Rows[Comparison]:
    """Give each comparison the heuristic filters' verdicts; the comparisons of a query stand together.

    Raises:
        EmptyResultError: no comparison is left.
    """

    def judged() -> Iterator[Comparison]:
        total, reasons, kept = 0, set[str](), 0
        for _, pairs in groupby(comparisons, key=lambda comparison: comparison.query_id):
            for comparison in judge_query(list(pairs), heuristics, ranking.pairing):
                total, kept = total + 1, kept + comparison.kept
                reasons.add(str(comparison.dropped_because))
                yield comparison
        if total and not kept:
            raise EmptyResultError(
                f"filter_comparisons: none of {total:,} comparisons is left ({', '.join(sorted(reasons))}); "
                f"loosen filter.* or mine more queries (mining.queries)"
            )

    return stream(Comparison, judged)


def judge_query(pairs: list[Comparison], heuristics: HeuristicFilter, pairing: Pairing) -> Iterable[Comparison]:
    """All comparisons of one query with the verdicts of words, length and pairing, in the given order."""
    responses = {pair.chosen_response_id: pair.chosen for pair in pairs}
    responses |= {pair.rejected_response_id: pair.rejected for pair in pairs}
    discarded = {name: discard_reason(text, heuristics) for name, text in responses.items()}
    lengths = [len(responses[name]) for name, reason in discarded.items() if reason is None]
    mean, std = (fmean(lengths), pstdev(lengths)) if lengths else (0.0, 0.0)
    judged = []
    for pair in pairs:
        reason = discarded[pair.chosen_response_id] or discarded[pair.rejected_response_id]
        if reason is None and pair.chosen.strip() == pair.rejected.strip():
            reason = DropReason.IDENTICAL, ""
        if reason is not None:
            judged.append(dropped(pair, *reason, verdict_words=FilterVerdict.DROP))
            continue
        pair = replace(pair, verdict_words=FilterVerdict.KEEP)
        judged.append(judge_length(pair, mean, std, heuristics) if heuristics.enabled and heuristics.length else pair)
    return judge_pairing(judged) if pairing is Pairing.UPSTREAM else judged


def judge_length(pair: Comparison, mean: float, std: float, heuristics: HeuristicFilter) -> Comparison:
    """The comparison with the length rule's verdict, where `mean` and `std` are of the query's response lengths."""
    pair = replace(pair, length_mean=mean, length_std=std)
    if long_enough(len(pair.chosen), len(pair.rejected), mean, std, heuristics.length_ties):
        return replace(pair, verdict_length=FilterVerdict.KEEP)
    evidence = f"{len(pair.chosen)} <= {mean - std / 2:.1f}"
    return dropped(pair, DropReason.SHORT_CHOSEN, evidence, verdict_length=FilterVerdict.DROP)


def long_enough(chosen: int, rejected: int, mean: float, std: float, ties: bool = False) -> bool:
    """The length rule: len(chosen) > len(rejected) or len(chosen) > M - S/2 (`ties`: upstream's >=)."""
    bound = mean - std / 2
    return chosen > rejected or (chosen >= bound if ties else chosen > bound)


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


def judge_pairing(pairs: list[Comparison]) -> list[Comparison]:
    """Upstream's rule: of the pairs that survive, each chosen response keeps its first opponent in rank order."""
    used: set[str] = set()
    judged = {}
    for pair in sorted(pairs, key=lambda pair: (pair.chosen_rank, pair.rejected_rank)):
        if pair.kept and pair.chosen_response_id in used:
            reason = DropReason.CHOSEN_BEFORE, pair.chosen_response_id
            judged[pair.comparison_id] = dropped(pair, *reason, verdict_pairing=FilterVerdict.DROP)
        elif pair.kept:
            used.add(pair.chosen_response_id)
            judged[pair.comparison_id] = replace(pair, verdict_pairing=FilterVerdict.KEEP)
    return [judged.get(pair.comparison_id, pair) for pair in pairs]


def dropped(pair: Comparison, reason: DropReason, evidence: str, **verdict: FilterVerdict) -> Comparison:
    """The comparison as one filter's `verdict` drops it."""
    return replace(pair, dropped_because=reason, evidence=evidence, **verdict)
