"""The funnel of a run: how many texts, pairs and conversations each step took in, kept, and why it left others out."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.demonstrations import Demonstration
from data_contracts.tables.queries import Query, RejectedQuery
from data_contracts.tables.responses import Response
from data_contracts.tables.reward_scores import RewardScore
from data_contracts.tables.rollouts import Rollout
from data_contracts.tables.row import Row


class Tables(Protocol):
    """Where a run's tables come from."""

    def read(self, contract: type[Row]) -> pa.Table: ...
    def read_last(self, contract: type[Row]) -> pa.Table: ...


@dataclass(frozen=True)
class FunnelRow:
    """One step of the funnel; `of` is what it chose from, None where it made something new."""

    what: str
    rows: int
    of: int | None = None
    left_out: str = ""

    def share(self) -> str:
        """Share of what it chose from, as a percentage."""
        return f"{100 * self.rows / self.of:.1f}%" if self.of else ""


def funnel(tables: Tables) -> list[FunnelRow]:
    """The steps that the run took, in order; steps it did not reach are absent."""
    return [*_queries(tables), *_comparisons(tables), *_reward_pairs(tables), *_policy(tables)]


def _queries(tables: Tables) -> Iterator[FunnelRow]:
    kept = tables.read(Query).num_rows
    rejected = _column(tables.read(RejectedQuery), "rejected_because")
    if kept:
        yield FunnelRow("queries", kept, kept + len(rejected), _reasons(rejected))


def _comparisons(tables: Tables) -> Iterator[FunnelRow]:
    responses = _column(tables.read(Response), "responder")
    if responses:
        yield FunnelRow("responses", len(responses), None, f"of {len(set(responses))} responders")
    comparisons = tables.read_last(Comparison)
    reasons = [reason for reason in _column(comparisons, "dropped_because") if reason is not None]
    if comparisons.num_rows:
        yield FunnelRow("comparisons of the assumed order", comparisons.num_rows)
        kept = comparisons.num_rows - len(reasons)
        yield FunnelRow("comparisons that every filter kept", kept, comparisons.num_rows, _reasons(reasons))


def _reward_pairs(tables: Tables) -> Iterator[FunnelRow]:
    splits = Counter(_column(tables.read_last(RewardScore), "split"))
    if splits["heldout"]:
        yield FunnelRow("pairs held out of reward training", splits["heldout"])


def _policy(tables: Tables) -> Iterator[FunnelRow]:
    rows = tables.read(Demonstration)
    if rows.num_rows:
        usable = [split for split, used in zip(_column(rows, "split"), _column(rows, "usable"), strict=True) if used]
        lost = rows.num_rows - len(usable)
        yield FunnelRow("demonstrations", len(usable), rows.num_rows, f"{lost:,} without any text" if lost else "")
        seen = sum(split == "seen" for split in usable)
        yield FunnelRow("demonstrations for SFT", seen, len(usable), "the other half is for PPO alone")
    steps = _column(tables.read(Rollout), "step")
    if steps:
        yield FunnelRow("rollouts", len(steps), None, f"in {len(set(steps)):,} PPO steps")


def _column(table: pa.Table, name: str) -> list[Any]:
    return table[name].to_pylist()


def _reasons(reasons: Iterable[str]) -> str:
    return ", ".join(f"{number:,} {reason}" for reason, number in Counter(reasons).most_common())
