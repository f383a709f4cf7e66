"""Published data: numbers by compare-and-swap, consumption once, and generations joined without mixing ids."""

from dataclasses import fields
from typing import TypeVar

import pytest

from data_contracts.config.profiles import load_profile
from data_contracts.errors import ConfigError, ContractError
from data_contracts.rows.row import Row
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.store.artifact_store import Store
from data_contracts.store.stored import StoredRows
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.mined_lines import MinedLine
from data_contracts.tables.queries import Query, RejectedQuery
from data_contracts.tables.responses import Response
from tasks.feedback.mined_queries import MinedQueries
from tasks.regeneration import publications
from tasks.regeneration.accumulate_data import accumulate_comparisons, accumulate_queries
from tasks.regeneration.publications import Publication
from tests.tasks.conftest import MADE_BY_A_TEST

R = TypeVar("R", bound=Row)


def nothing(store: Store, row: type[R]) -> StoredRows[R]:
    """An empty table in the store, the same each time."""
    return store.commit_rows("empty", rows_of(row, []), MADE_BY_A_TEST)


def publication(store: Store, number: int, run: str) -> Publication:
    queries = nothing(store, Query)
    return Publication(
        number=number, run=run, data_seed=number, pool=queries,
        mined=MinedQueries(
            queries=queries, rejected=nothing(store, RejectedQuery), lines=nothing(store, MinedLine)
        ),
        responses=(nothing(store, Response),), comparisons=nothing(store, Comparison), as_is=None,
        config=load_profile("smoke").model_dump(mode="json", exclude={"placement"}),
    )  # fmt: skip


def test_the_first_to_publish_a_number_wins_and_the_highest_is_the_latest(store: Store):
    assert publications.latest(store) is None
    assert publications.publish(store, publication(store, 1, "a"))
    assert not publications.publish(store, publication(store, 1, "b")), "b built on nothing, but 1 is there"
    assert publications.publish(store, publication(store, 2, "b"))
    latest = publications.latest(store)
    assert latest is not None
    assert latest == publication(store, 2, "b")
    assert latest.run_config() == load_profile("smoke")
    assert publications.read(store, 1).run == "a"
    with pytest.raises(ConfigError, match=r"publication 3 is not in .*; known: \[1, 2\]"):
        publications.read(store, 3)


def test_a_retry_finds_what_its_first_attempt_published(store: Store):
    publications.publish(store, publication(store, 1, "a"))
    publications.publish(store, publication(store, 2, "b"))
    found = publications.made_by(store, "a")
    assert found is not None
    assert found.number == 1
    assert publications.made_by(store, "c") is None


def test_a_publication_is_consumed_once_by_one_run_and_its_retry(store: Store):
    publications.publish(store, publication(store, 1, "a"))
    assert not publications.is_consumed(store, 1)
    assert publications.consume(store, 1, "train-1")
    assert not publications.consume(store, 1, "train-2")
    assert publications.consume(store, 1, "train-1")
    assert publications.is_consumed(store, 1)


def generation(*queries: tuple[str, str, str | None]) -> Rows[Query]:
    """Queries by id, text and the id of their nearest one."""
    return rows_of(
        Query,
        [
            Query(
                query_id=query_id, query=text, attempt=1, seed=1, nearest_query_id=nearest,
                nearest_rouge_l=None if nearest is None else 0.25, decontamination_checked=True,
                evaluation_overlap=None,
            )
            for query_id, text, nearest in queries
        ],
    )  # fmt: skip


def test_generations_keep_their_ids_apart_and_their_neighbours():
    first = generation(("q1", "Who is Tim?", "seed-0"))
    second = generation(
        ("q1", "What does Mira own?", "earlier-q1"), ("q2", "Where is Rome?", "q1"), ("q3", "Why?", "seed-1")
    )
    joined = list(accumulate_queries.fn(earlier=first, fresh=second, number=2))
    Query.to_table(joined)
    assert [(entry.query_id, entry.nearest_query_id) for entry in joined] == [
        ("q1", "seed-0"),
        ("g2-q1", "q1"),
        ("g2-q2", "g2-q1"),
        ("g2-q3", "seed-1"),
    ]


def test_comparisons_of_generations_keep_the_ids_of_queries_and_responses_apart():
    old = Comparison(
        comparison_id="q1-A>B", query_id="q1", query="Who?", chosen_response_id="q1-A", rejected_response_id="q1-B",
        chosen="Me.", rejected="You.", chosen_responder="A", rejected_responder="B", chosen_rank=1, rejected_rank=2,
    )  # fmt: skip
    table = rows_of(Comparison, [old])
    joined = accumulate_comparisons.fn(earlier=table, fresh=table, number=2)
    assert joined.table().num_rows == 2, "no key is there twice"
    first, new = joined
    assert first == old
    ids = {"comparison_id", "query_id", "chosen_response_id", "rejected_response_id"}
    for field in fields(Comparison):  # type: ignore[arg-type]
        value = getattr(old, field.name)
        assert getattr(new, field.name) == (f"g2-{value}" if field.name in ids else value)


def test_a_publication_names_tables_and_does_not_hold_them(store: Store):
    question = Query(
        query_id="q1", query="Who is Tim?", attempt=1, seed=1, nearest_query_id=None, nearest_rouge_l=None,
        decontamination_checked=True, evaluation_overlap=None,
    )  # fmt: skip
    pool = store.commit_rows("pool", rows_of(Query, [question]), MADE_BY_A_TEST)
    publications.publish(store, publication(store, 1, "a").model_copy(update={"pool": pool}))
    found = publications.read(store, 1)
    assert list(found.pool) == [question]
    assert question.query not in found.model_dump_json()


def test_a_publication_that_names_a_table_of_another_contract_is_refused(store: Store):
    text = publication(store, 1, "a").model_dump_json().replace(Comparison.contract_id(), Query.contract_id())
    assert store.backend.put_new("published/000001.json", text.encode())
    with pytest.raises(ContractError, match="is a queries@1, not a comparisons@1"):
        publications.read(store, 1)
