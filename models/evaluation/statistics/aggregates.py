"""From rows of `Evaluations` to figures: per benchmark, subject and group, each with its interval."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from models.evaluation.benchmarks import mmlu
from models.evaluation.statistics.intervals import Estimate, estimate_mean

ALL = "all"


@dataclass(frozen=True)
class Aggregate:
    """One figure; `estimate` is None when no item could be asked. `skipped` items were not, e.g. too long ones."""

    benchmark: str
    subject: str
    group: str
    metric: str
    estimate: Estimate | None
    skipped: int


def aggregate(rows: Iterable[dict[str, Any]]) -> list[Aggregate]:
    """Figures over all items, and over every group; MMLU also over its four groups of subjects."""
    gathered: dict[tuple[str, str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        for group in _groups(row):
            gathered[row["benchmark"], row["subject"], group, row["metric"]].append(row)
    return [_figure(*key, own) for key, own in gathered.items()]


def _groups(row: dict[str, Any]) -> list[str]:
    group = row["group"]
    if group is None:
        return [ALL]
    over = [mmlu.GROUP_OF[group]] if row["benchmark"].startswith(mmlu.NAME) and group in mmlu.GROUP_OF else []
    return [ALL, *over, group]


def _figure(benchmark: str, subject: str, group: str, metric: str, rows: list[dict[str, Any]]) -> Aggregate:
    asked = [row for row in rows if row["value"] is not None]
    estimate = estimate_mean([r["value"] for r in asked], [r["item_id"] for r in asked]) if asked else None
    skipped = len({row["item_id"] for row in rows if row["value"] is None})
    return Aggregate(benchmark, subject, group, metric, estimate, skipped)
