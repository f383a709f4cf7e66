"""Named rules on the rows of a table, and those that many tables share, vectorised over Arrow columns; null is allowed where the column may be null."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pyarrow as pa

from data_contracts.rows.arrow import compute as pc


@dataclass(frozen=True)
class Rule:
    """A named condition on rows: `holds(table)` is a Boolean array, one entry per row; null counts as broken."""

    name: str
    holds: Callable[[pa.Table], pa.Array | pa.ChunkedArray]


def finite(column: str) -> Rule:
    """The rule that a float column holds neither NaN nor infinity."""
    return Rule(f"{column} is finite", lambda t: pc.fill_null(pc.is_finite(t[column]), True))


def at_least(column: str, bound: float) -> Rule:
    """The rule that a numeric column is >= `bound`."""
    return Rule(f"{column} >= {bound}", lambda t: pc.fill_null(pc.greater_equal(t[column], bound), True))


def one_of(column: str, values: Iterable[str]) -> Rule:
    """The rule that a text column holds one of `values`."""
    allowed = pa.array([str(v) for v in values], pa.string())
    return Rule(
        f"{column} is one of {', '.join(allowed.to_pylist())}",
        lambda t: pc.or_(pc.is_null(t[column]), pc.is_in(t[column], value_set=allowed)),
    )


def not_blank(column: str) -> Rule:
    """The rule that a text column is not empty or white space."""
    return Rule(f"{column} is not blank", lambda t: pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(t[column])), 0))


def not_empty(column: str) -> Rule:
    """The rule that a list column has at least one entry."""
    return Rule(f"{column} is not empty", lambda t: pc.greater(pc.list_value_length(t[column]), 0))
