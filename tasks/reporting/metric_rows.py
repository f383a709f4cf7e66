"""A run's metrics as a person reads them: a value with its interval of 95 % and its number of items in one row.

summary.json keeps them flat (`NAME`, `NAME.low`, `NAME.high`, `NAME.n`), which is easier for programs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

COLUMNS = ("metric", "value", "95 % interval", "items")
_ENDS, _ITEMS = ("low", "high"), "n"


@dataclass(frozen=True)
class MetricRow:
    """One metric in words; `interval` and `items` are empty where none was measured."""

    name: str
    value: str
    interval: str
    items: str

    def cells(self) -> tuple[str, str, str, str]:
        """Under `COLUMNS`."""
        return self.name, self.value, self.interval, self.items


def metric_rows(metrics: Mapping[str, float]) -> list[MetricRow]:
    """A row per metric, in their order; an interval or a number of items without its value has a row of its own."""
    rows = []
    for name, value in metrics.items():
        base, _, part = name.rpartition(".")
        if base in metrics and (part == _ITEMS or (part in _ENDS and _ends(metrics, base))):
            continue
        ends, items = _ends(metrics, name), metrics.get(f"{name}.{_ITEMS}")
        interval = f"[{ends[0]:,.3f}, {ends[1]:,.3f}]" if ends else ""
        shown = f"{value:,.3f}" if ends else _number(value)
        rows.append(MetricRow(name, shown, interval, "" if items is None else _number(items)))
    return rows


def _ends(metrics: Mapping[str, float], name: str) -> tuple[float, float] | None:
    low, high = (metrics.get(f"{name}.{end}") for end in _ENDS)
    return None if low is None or high is None else (low, high)


def _number(value: float) -> str:
    return f"{value:,.3f}".rstrip("0").rstrip(".")
