"""From evaluated items to figures: per benchmark, subject and group, each with its interval."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from data_contracts.tables.evaluations import EvaluatedItem
from models.evaluation.benchmarks.benchmark import ALL
from models.evaluation.benchmarks.catalogue import benchmark_of
from models.evaluation.statistics.intervals import Estimate, estimate_mean


@dataclass(frozen=True)
class Aggregate:
    """One figure; `estimate` is None when no item could be asked. `skipped` items were not, e.g. too long ones."""

    benchmark: str
    subject: str
    group: str
    metric: str
    estimate: Estimate | None
    skipped: int


def aggregate(items: Iterable[EvaluatedItem]) -> list[Aggregate]:
    """Figures over all items, over every group and, where a benchmark has them, over its larger groups (MMLU's four)."""
    gathered: dict[tuple[str, str, str, str], list[EvaluatedItem]] = defaultdict(list)
    for item in items:
        for group in _groups(item):
            gathered[item.benchmark, item.subject, group, item.metric].append(item)
    return [_figure(*key, own) for key, own in gathered.items()]


def _groups(item: EvaluatedItem) -> list[str]:
    if item.group is None:
        return [ALL]
    benchmark = benchmark_of(item.benchmark)
    larger = benchmark.larger_groups.get(item.group) if benchmark else None
    return [ALL, item.group] if larger is None else [ALL, larger, item.group]


def _figure(benchmark: str, subject: str, group: str, metric: str, items: list[EvaluatedItem]) -> Aggregate:
    values = [(item.value, item.item_id) for item in items if item.value is not None]
    estimate = estimate_mean([value for value, _ in values], [name for _, name in values]) if values else None
    skipped = len({item.item_id for item in items if item.value is None})
    return Aggregate(benchmark, subject, group, metric, estimate, skipped)
