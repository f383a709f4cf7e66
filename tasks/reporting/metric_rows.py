"""A run's metrics as a person reads them: a value with its interval of 95 % and its number of items in one row.

summary.json keeps them flat (`NAME`, `NAME.low`, `NAME.high`, `NAME.n`), which is easier for programs. Titles and units:
`metric_titles.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.reporting.metric import Shown
from tasks.reporting.metric_titles import shown_metric

COLUMNS = ("metric", "value", "95 % interval", "items")
_ENDS, _ITEMS = ("low", "high"), "n"


@dataclass(frozen=True)
class MetricRow:
    """One metric in words; `interval` and `items` are empty where none was measured."""

    title: str
    value: str
    interval: str
    items: str

    def cells(self) -> tuple[str, str, str, str]:
        """Under `COLUMNS`."""
        return self.title, self.value, self.interval, self.items

    def sentence(self) -> str:
        """On one line: `Title: 76.1% [71.8, 79.9] of 414`."""
        interval = f" {self.interval}" if self.interval else ""
        items = f" of {self.items}" if self.items else ""
        return f"{self.title}: {self.value}{interval}{items}"


def metric_rows(metrics: Mapping[str, float]) -> list[MetricRow]:
    """A row per metric, in their order; an interval or a number of items without its value has a row of its own."""
    rows = []
    for name, value in metrics.items():
        base, _, part = name.rpartition(".")
        if base in metrics and (part == _ITEMS or (part in _ENDS and _ends(metrics, base))):
            continue
        metric, ends, items = shown_metric(name), _ends(metrics, name), metrics.get(f"{name}.{_ITEMS}")
        interval = f"[{', '.join(metric.shown.number(end) for end in ends)}]" if ends else ""
        number = "" if items is None else Shown.COUNT.number(items)
        rows.append(MetricRow(metric.title, metric.value(value), interval, number))
    return rows


def _ends(metrics: Mapping[str, float], name: str) -> tuple[float, float] | None:
    low, high = (metrics.get(f"{name}.{end}") for end in _ENDS)
    return None if low is None or high is None else (low, high)
