"""Published data: numbers by compare-and-swap, consumption once, and generations joined without mixing ids."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from data_contracts.config.profiles import load_profile
from data_contracts.errors import ConfigError, ContractError
from data_contracts.store.artifact import Artifact
from data_contracts.store.artifact_store import Store
from data_contracts.store.stored import StoredRows
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.mined_lines import MinedLine
from data_contracts.tables.queries import Query, RejectedQuery
from data_contracts.tables.responses import Response
from data_contracts.tables.rows import rows_of
from tasks.feedback.mined_queries import MinedQueries
from tasks.feedback.rank_comparisons import pair_by_rank
from tasks.regeneration import publications
from tasks.regeneration.accumulate_data import accumulate_comparisons, accumulate_queries
from tasks.regeneration.publications import Publication
from tests.tasks.conftest import query, response


@pytest.fixture
def publication(store: Store) -> Callable[[int, str], Publication]:
    def rows(row: Any) -> Any:
        artifact = Artifact(contract=row.contract_id(), path=f"{row.contract_id()}/y", digest="d", rows=1)
        return StoredRows(row, artifact, store)

    def make(number: int, run: str) -> Publication:
        mined = MinedQueries(queries=rows(Query), rejected=rows(RejectedQuery), lines=rows(MinedLine))
        return Publication(
            number=number, run=run, data_seed=number, pool=rows(Query), mined=mined, responses=(rows(Response),),
            comparisons=rows(Comparison), as_is=None,
            config=load_profile("smoke").model_dump(mode="json", exclude={"placement"}),
        )  # fmt: skip

    return make


def test_the_first_to_publish_a_number_wins_and_the_highest_is_the_latest(
    store: Store, publication: Callable[..., Publication]
):
    assert publications.latest(store) is None
    assert publications.publish(store, publication(1, "a"))
    assert not publications.publish(store, publication(1, "b")), "b built on nothing, but 1 is there"
    assert publications.publish(store, publication(2, "b"))
    latest = publications.latest(store)
    assert latest == publication(2, "b")
    assert latest.run_config() == load_profile("smoke")
    assert publications.read(store, 1).run == "a"
    with pytest.raises(ConfigError, match=r"publication 3 is not in .*; known: \[1, 2\]"):
        publications.read(store, 3)


def test_a_retry_finds_what_its_first_attempt_published(store: Store, publication: Callable[..., Publication]):
    publications.publish(store, publication(1, "a"))
    publications.publish(store, publication(2, "b"))
    found = publications.made_by(store, "a")
    assert found is not None
    assert found.number == 1
    assert publications.made_by(store, "c") is None


def test_a_publication_is_consumed_once_by_one_run_and_its_retry(store: Store, publication: Callable[..., Publication]):
    publications.publish(store, publication(1, "a"))
    assert not publications.is_consumed(store, 1)
    assert publications.consume(store, 1, "train-1")
    assert not publications.consume(store, 1, "train-2")
    assert publications.consume(store, 1, "train-1")
    assert publications.is_consumed(store, 1)


def test_a_publication_comes_back_with_its_tables(stored: Callable[..., Any], store: Store, publication: Any):
    queries = stored(Query, [query(1, "Who is Tim?"), query(2, "Why?")])
    made = publication(1, "a")
    assert publications.publish(store, made.model_copy(update={"pool": queries}))
    found = publications.read(store, 1)
    assert isinstance(found.pool, StoredRows)
    assert list(found.pool) == list(queries)
    assert found.responses == made.responses
    assert "Who is Tim?" not in found.model_dump_json(), "a publication names tables, it does not hold them"


def test_a_publication_that_names_another_kind_of_table_is_refused(store: Store, publication: Any):
    text = publication(1, "a").model_dump_json().replace(Comparison.contract_id(), Query.contract_id())
    store.backend.put_new("published/000001.json", text.encode())
    with pytest.raises(ContractError, match="is a queries@1, not a comparisons@1"):
        publications.read(store, 1)


def asked(query_id: str, text: str, nearest: str | None) -> Query:
    score = None if nearest is None else 0.25
    return replace(query(1, text), query_id=query_id, nearest_query_id=nearest, nearest_rouge_l=score)


def test_generations_keep_their_ids_apart_and_their_neighbours():
    first = [asked("q1", "Who is Tim?", "seed-0")]
    second = [
        asked("q1", "What does Mira own?", "earlier-q1"),
        asked("q2", "Where is Rome?", "q1"),
        asked("q3", "Why?", "seed-1"),
        asked("q4", "How?", None),
    ]
    joined = accumulate_queries.fn(earlier=rows_of(Query, first), fresh=rows_of(Query, second), number=2)
    assert [(row.query_id, row.nearest_query_id) for row in joined] == [
        ("q1", "seed-0"), ("g2-q1", "q1"), ("g2-q2", "g2-q1"), ("g2-q3", "seed-1"), ("g2-q4", None),
    ]  # fmt: skip
    assert [row.query for row in joined] == [row.query for row in (*first, *second)]


def test_comparisons_of_generations_keep_the_ids_of_queries_and_responses_apart():
    pairs = list(pair_by_rank([response("q1", "A", 1, "a"), response("q1", "B", 2, "b")]))
    joined = accumulate_comparisons.fn(earlier=rows_of(Comparison, pairs), fresh=rows_of(Comparison, pairs), number=2)
    old, new = joined
    assert old == pairs[0]
    assert (new.comparison_id, new.query_id) == ("g2-q1-A>B", "g2-q1")
    assert (new.chosen_response_id, new.rejected_response_id) == ("g2-q1-A", "g2-q1-B")
    assert (new.chosen, new.rejected) == ("a", "b")
    joined.table()


def test_the_pool_in_the_store_grows_by_the_new_generation(compute: Callable[..., Any], stored: Callable[..., Any]):
    pool = stored(Query, [asked("q1", "Who is Tim?", None)])
    for number in (2, 3):
        fresh = stored(Query, [asked("q1", f"Question {number}?", None)])
        pool = compute(accumulate_queries, earlier=pool, fresh=fresh, number=number)
    assert pool.column("query_id") == ["q1", "g2-q1", "g3-q1"]
