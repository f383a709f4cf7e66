"""Comparisons are never all in memory: ranking, filtering and committing hold a bounded number of rows at a time."""

from collections.abc import Iterator
from typing import Any

import pytest

from data_contracts.config.filter import HeuristicFilter
from data_contracts.config.ranking import Ranking
from data_contracts.finish_reason import FinishReason
from data_contracts.rows import row as row_module
from data_contracts.rows import rows as rows_module
from data_contracts.rows.row import Row
from data_contracts.rows.rows import Rows, stream
from data_contracts.store.artifact_store import Store
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.responses import Response
from tasks.feedback.filter_comparisons import filter_comparisons
from tasks.feedback.rank_comparisons import rank_comparisons
from tests.tasks.conftest import MADE_BY_A_TEST

QUERIES, RESPONDERS, PAIRS_A_QUERY = 20_000, "ABCDE", 10
PART_ROWS, GROUP_ROWS = 2_000, 100


class Living:
    """How many rows of a class live, the most that ever did, and how many were made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, row: type[Row]) -> None:
        self.now, self.most, self.made = 0, 0, 0
        make = row.__init__

        def made(new: Row, **values: Any) -> None:
            make(new, **values)
            self.now, self.made = self.now + 1, self.made + 1
            self.most = max(self.most, self.now)

        def died(_: Row) -> None:
            self.now -= 1

        monkeypatch.setattr(row, "__init__", made)
        monkeypatch.setattr(row, "__del__", died, raising=False)


def answers(responder: str, rank: int) -> Rows[Response]:
    """One responder's answers to every query, made while they are read."""

    def make() -> Iterator[Response]:
        for number in range(QUERIES):
            yield Response(
                response_id=f"q{number}-{responder}", query_id=f"q{number}", query="Who?", responder=responder,
                responder_rank=rank, model="large", prompt_set="hhh", shots=1, response=f"It is {responder} {number}.",
                prompt_tokens=9, tokens=2, finish_reason=FinishReason.END, logprob=-1.0, seed=1,
            )  # fmt: skip

    return stream(Response, make)


@pytest.mark.slow
def test_ranking_filtering_and_committing_hold_one_part_of_the_comparisons(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rows_module, "PART_ROWS", PART_ROWS)
    ranked = rank_comparisons.fn(responses=[answers(name, rank) for rank, name in enumerate(RESPONDERS, start=1)])
    filtered = filter_comparisons.fn(
        comparisons=ranked, heuristics=HeuristicFilter(length_ties=True), ranking=Ranking()
    )
    responses, comparisons = Living(monkeypatch, Response), Living(monkeypatch, Comparison)
    committed = store.commit_rows("k" * 32, filtered, MADE_BY_A_TEST)
    assert len(committed) == QUERIES * PAIRS_A_QUERY
    assert len(store.manifest(committed.artifact).parts) == QUERIES * PAIRS_A_QUERY / PART_ROWS
    assert responses.made == QUERIES * len(RESPONDERS)
    assert comparisons.made >= QUERIES * PAIRS_A_QUERY
    assert responses.most <= 4 * len(RESPONDERS), "the answers to a query or two"
    assert comparisons.most <= PART_ROWS + 6 * PAIRS_A_QUERY, "one part, and the pairs of a query or two"
    assert (responses.now, comparisons.now) == (0, 0)


def test_stored_comparisons_are_read_a_row_group_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(row_module, "ROW_GROUP_ROWS", GROUP_ROWS)
    ranked = rank_comparisons.fn(responses=[answers(name, rank) for rank, name in enumerate("AB", start=1)])
    committed = store.commit_rows("k" * 32, ranked, MADE_BY_A_TEST)
    assert len(committed.paths) == 1
    comparisons = Living(monkeypatch, Comparison)
    assert sum(1 for _ in committed) == comparisons.made == QUERIES
    assert comparisons.most <= 2, "rows are made one by one; a row group of them lies in columns"
