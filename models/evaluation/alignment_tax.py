"""The alignment tax (ALMoST section 4.1): what a trained model lost of what its base could do, item by item."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from data_contracts.config.policy_algorithm import Algorithm
from models.evaluation.paper_tables import PUBLISHED, PaperTable
from models.evaluation.statistics.intervals import Estimate, estimate_difference

BASES = dict.fromkeys(("sft", *(algorithm.value for algorithm in Algorithm)), "base")  # in a run
TAXED = ("mmlu", "lambada")
# Differences of Table 2's figures, which have no interval.
_PUBLISHED = {
    "Alpaca 7B": ("-9.0", "8.0"),
    "ALMoST SFT 7B": ("-0.2", "4.1"),
    "ALMoST PPO 7B": ("2.4", "6.7"),
}
Taxes = dict[tuple[str, str], Estimate]


def alignment_tax(rows: Iterable[dict[str, Any]], bases: Mapping[str, str]) -> Taxes:
    """(benchmark, subject) -> mean loss of accuracy against the subject's base, on the items that both were asked.

    Positive is a loss. The interval is that of paired differences.
    """
    values: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row["benchmark"].startswith(TAXED) and row["value"] is not None:
            values[row["benchmark"], row["subject"]][row["item_id"]] = row["value"]
    taxes = {}
    for (benchmark, subject), own in values.items():
        before = values.get((benchmark, bases.get(subject, "")), {})
        losses = [before[item] - value for item, value in own.items() if item in before]
        if losses:
            taxes[benchmark, subject] = estimate_difference(losses)
    return taxes


def tax_table(taxes: Taxes, bases: Mapping[str, str], sizes: Mapping[str, int | None]) -> PaperTable | None:
    """Points of accuracy lost, a row per trained model, the smallest first; None where nothing was measured."""
    if not taxes:
        return None
    benchmarks = sorted({benchmark for benchmark, _ in taxes}, key=lambda name: (not name.startswith("mmlu"), name))
    subjects = sorted({subject for _, subject in taxes}, key=lambda subject: sizes.get(subject) or 0)
    rows = [
        (
            f"{subject}, from {bases[subject]}",
            _size(sizes.get(subject)),
            *(_cell(taxes.get((b, subject))) for b in benchmarks),
        )
        for subject in subjects
    ]
    published = {"mmlu": 0, "lambada": 1}
    below = [
        (f"{PUBLISHED}: {name}", "7B", *(losses[published[b]] if b in published else "" for b in benchmarks))
        for name, losses in _PUBLISHED.items()
    ]
    title = "Alignment tax: points of accuracy lost against the base (negative: gained)"
    return PaperTable(title, ("parameters", *benchmarks), (*rows, *below))


def _size(parameters: int | None) -> str:
    if parameters is None:
        return ""
    unit, name = next(
        (u, n) for u, n in ((10**9, "B"), (10**6, "M"), (10**3, "k"), (1, "")) if parameters >= u or u == 1
    )
    return f"{parameters / unit:.3g}{name}"


def _cell(tax: Estimate | None) -> str:
    return "" if tax is None else f"{100 * tax.value:.1f} [{100 * tax.low:.1f}, {100 * tax.high:.1f}]"
