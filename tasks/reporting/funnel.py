"""The funnel of a run: how many texts, pairs and conversations each step took in, kept, and why it left others out."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from data_contracts.rows.row import Row
from data_contracts.rows.rows import Rows
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.demonstrations import Demonstration, QuerySplit
from data_contracts.tables.queries import Query, RejectedQuery
from data_contracts.tables.responses import Response
from data_contracts.tables.reward_scores import PairSplit, RewardScore
from data_contracts.tables.rollouts import Rollout
from tasks.reporting.column_figures import counts
from tasks.reporting.words import DROPS, REJECTIONS, reasons_in_words

R = TypeVar("R", bound=Row)


class Tables(Protocol):
    """Where a run's tables come from."""

    def rows(self, row: type[R]) -> Rows[R]: ...
    def last(self, row: type[R]) -> Rows[R]: ...


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
    kept = len(tables.rows(Query))
    rejected = counts(tables.rows(RejectedQuery), "rejected_because")
    if kept:
        yield FunnelRow("queries", kept, kept + rejected.total(), reasons_in_words(rejected, REJECTIONS))


def _comparisons(tables: Tables) -> Iterator[FunnelRow]:
    responders = counts(tables.rows(Response), "responder")
    if responders:
        yield FunnelRow("responses", responders.total(), None, f"of {len(responders)} responders")
    reasons = counts(tables.last(Comparison), "dropped_because")
    total, kept = reasons.total(), reasons.pop(None, 0)
    if total:
        yield FunnelRow("comparisons of the assumed order", total)
        yield FunnelRow("comparisons that every filter kept", kept, total, reasons_in_words(reasons, DROPS))


def _reward_pairs(tables: Tables) -> Iterator[FunnelRow]:
    heldout = counts(tables.last(RewardScore), "split")[PairSplit.HELDOUT.value]
    if heldout:
        yield FunnelRow("pairs held out of reward training", heldout)


def _policy(tables: Tables) -> Iterator[FunnelRow]:
    total, usable = 0, Counter[str]()
    for table in tables.rows(Demonstration).columns("split", "usable"):
        total += table.num_rows
        usable.update(table["split"].filter(table["usable"]).to_pylist())
    if total:
        lost = total - usable.total()
        yield FunnelRow("demonstrations", usable.total(), total, f"{lost:,} without any text" if lost else "")
        seen = usable[QuerySplit.SEEN.value]
        yield FunnelRow("demonstrations for SFT", seen, usable.total(), "the others are prompts for policy training")
    steps = counts(tables.rows(Rollout), "step")
    if steps:
        number = f"in {len(steps):,} policy training step{'s' if len(steps) > 1 else ''}"
        yield FunnelRow("rollouts", steps.total(), None, number)
