"""The alignment tax (ALMoST section 4.1): what a trained model lost of what its base could do, item by item."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from data_contracts.config.algorithm import Algorithm
from data_contracts.tables.evaluations import EvaluatedItem
from models.evaluation.benchmarks.catalogue import BENCHMARKS, benchmark_of
from models.evaluation.paper_tables import PUBLISHED, PaperTable
from models.evaluation.statistics.intervals import Estimate, estimate_difference

BASES = dict.fromkeys(("sft", *(algorithm.value for algorithm in Algorithm)), "base")  # in a run
# Taxed are the benchmarks for which the paper gives its base model's figure; published losses have no interval.
_PUBLISHED = {name: losses for name, one in BENCHMARKS.items() if (losses := one.paper.published_losses())}
Taxes = dict[tuple[str, str], Estimate]


def alignment_tax(items: Iterable[EvaluatedItem], bases: Mapping[str, str]) -> Taxes:
    """(benchmark, subject) -> mean loss of accuracy against the subject's base, on the items that both were asked.

    Positive is a loss. The interval is that of paired differences.
    """
    values: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for item in items:
        benchmark = benchmark_of(item.benchmark)
        if benchmark is not None and benchmark.name in _PUBLISHED and item.value is not None:
            values[item.benchmark, item.subject][item.item_id] = item.value
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
    benchmarks = sorted({benchmark for benchmark, _ in taxes}, key=_place)
    subjects = sorted({subject for _, subject in taxes}, key=lambda subject: sizes.get(subject) or 0)
    rows = [
        (
            f"{subject}, from {bases[subject]}",
            _size(sizes.get(subject)),
            *(_cell(taxes.get((b, subject))) for b in benchmarks),
        )
        for subject in subjects
    ]
    models = dict.fromkeys(model for losses in _PUBLISHED.values() for model in losses)
    below = [(f"{PUBLISHED}: {model}", "7B", *(_published(b, model) for b in benchmarks)) for model in models]
    title = "Alignment tax: points of accuracy lost against the base (negative: gained)"
    return PaperTable(title, ("parameters", *benchmarks), (*rows, *below))


def _place(title: str) -> tuple[int, str]:
    """Benchmarks stand in the catalogue's order, without shots first."""
    benchmark = benchmark_of(title)
    return (list(BENCHMARKS).index(benchmark.name) if benchmark else len(BENCHMARKS)), title


def _published(title: str, model: str) -> str:
    """The paper's loss of a model; empty for what the paper did not measure, as with shots."""
    loss = _PUBLISHED.get(title, {}).get(model)
    return "" if loss is None else f"{loss:.1f}"


def _size(parameters: int | None) -> str:
    if parameters is None:
        return ""
    unit, name = next(
        (u, n) for u, n in ((10**9, "B"), (10**6, "M"), (10**3, "k"), (1, "")) if parameters >= u or u == 1
    )
    return f"{parameters / unit:.3g}{name}"


def _cell(tax: Estimate | None) -> str:
    return "" if tax is None else f"{100 * tax.value:.1f} [{100 * tax.low:.1f}, {100 * tax.high:.1f}]"
