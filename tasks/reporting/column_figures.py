"""Figures over the columns of a table, part by part: memory does not grow with the rows."""

from collections import Counter
from typing import Any, TypeVar

from data_contracts.rows.arrow import compute as pc
from data_contracts.rows.row import Row
from data_contracts.rows.rows import Rows

R = TypeVar("R", bound=Row)


def counts(rows: Rows[Any], column: str) -> Counter[Any]:
    """How many rows have each value of a column, null included, in the order of first occurrence."""
    found = Counter[Any]()
    for table in rows.columns(column):
        for entry in pc.value_counts(table[column]).to_pylist():
            found[entry["values"]] += entry["counts"]
    return found


def rows_where(rows: Rows[R], column: str, value: Any) -> list[R]:
    """The rows whose column has a value, in their order."""
    found = []
    for table in rows.tables():
        found += rows.row.from_table(table.filter(pc.equal(table[column], value)))
    return found


def mean(rows: Rows[Any], column: str, where: str, low: float, high: float) -> float:
    """Mean of a column over the rows whose column `where` lies in [low, high]; NaN where there are none."""
    total, number = 0.0, 0
    for table in rows.columns(column, where):
        chosen = pc.and_(pc.greater_equal(table[where], low), pc.less_equal(table[where], high))
        values = table[column].filter(chosen)
        total, number = total + (pc.sum(values).as_py() or 0.0), number + len(values)
    return total / number if number else float("nan")
