"""How often a judge agrees with the assumed order of comparisons: which comparisons count, and what agreeing is."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from data_contracts.tables.comparisons import Comparison, FilterVerdict

# Groups of comparisons: all, those the heuristic filter passes, and those every filter passes.
VERDICTS: dict[str, Callable[[Comparison], bool]] = {
    "all": lambda comparison: True,
    "heuristic": lambda comparison: (
        FilterVerdict.DROP not in (comparison.verdict_words, comparison.verdict_length, comparison.verdict_pairing)
    ),
    "kept": lambda comparison: comparison.kept,
}


def agreements(
    comparisons: Iterable[Comparison], score: Mapping[str, float | None]
) -> Iterator[tuple[Comparison, bool]]:
    """Comparisons whose two responses the judge tells apart, each with whether the chosen one is better.

    `score` is the judge's by response id; a comparison with a response that has none is left out.
    """
    for comparison in comparisons:
        chosen, rejected = score.get(comparison.chosen_response_id), score.get(comparison.rejected_response_id)
        if chosen is not None and rejected is not None and chosen != rejected:
            yield comparison, chosen > rejected
