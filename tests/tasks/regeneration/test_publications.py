"""Published data: numbers by compare-and-swap, consumption once, and generations joined without mixing ids."""

from collections.abc import Callable
from typing import Any

import pytest

from data_contracts.config.profiles import load_profile
from data_contracts.errors import ConfigError
from data_contracts.store.artifact import Artifact
from data_contracts.store.artifact_store import Store
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.queries import Query
from tasks.feedback.mined_queries import MinedQueries
from tasks.regeneration import publications
from tasks.regeneration.accumulate_data import accumulate_queries
from tasks.regeneration.publications import Publication


def handle(contract: Any) -> Artifact:
    return Artifact(contract=contract.contract_id(), path="x/y", digest="d", rows=1)


def publication(number: int, run: str) -> Publication:
    queries = handle(Query)
    return Publication(
        number=number, run=run, data_seed=number, pool=queries,
        mined=MinedQueries(queries=queries, rejected=queries, lines=queries), responses=(),
        comparisons=handle(Comparison), as_is=None,
        config=load_profile("smoke").model_dump(mode="json", exclude={"placement"}),
    )  # fmt: skip


def test_the_first_to_publish_a_number_wins_and_the_highest_is_the_latest(store: Store):
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


def test_a_retry_finds_what_its_first_attempt_published(store: Store):
    publications.publish(store, publication(1, "a"))
    publications.publish(store, publication(2, "b"))
    found = publications.made_by(store, "a")
    assert found is not None
    assert found.number == 1
    assert publications.made_by(store, "c") is None


def test_a_publication_is_consumed_once_by_one_run_and_its_retry(store: Store):
    publications.publish(store, publication(1, "a"))
    assert not publications.is_consumed(store, 1)
    assert publications.consume(store, 1, "train-1")
    assert not publications.consume(store, 1, "train-2")
    assert publications.consume(store, 1, "train-1")
    assert publications.is_consumed(store, 1)


def test_generations_keep_their_ids_apart_and_their_neighbours(compute: Callable[..., Any], commit: Callable[..., Any]):
    def row(query_id: str, query: str, nearest: str | None) -> dict[str, Any]:
        score = None if nearest is None else 0.25
        return {
            "query_id": query_id, "query": query, "attempt": 1, "seed": 1, "nearest_query_id": nearest,
            "nearest_rouge_l": score, "decontamination_checked": True, "evaluation_overlap": None,
        }  # fmt: skip

    first = commit(Query, [row("q1", "Who is Tim?", "seed-0")])
    second = commit(
        Query,
        [
            row("q1", "What does Mira own?", "earlier-q1"),
            row("q2", "Where is Rome?", "q1"),
            row("q3", "Why?", "seed-1"),
        ],
    )
    joined = compute(accumulate_queries, first, second, 2)
    assert [(entry["query_id"], entry["nearest_query_id"]) for entry in read(Query, joined).to_pylist()] == [
        ("q1", "seed-0"),
        ("g2-q1", "q1"),
        ("g2-q2", "g2-q1"),
        ("g2-q3", "seed-1"),
    ]
