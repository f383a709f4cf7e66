"""Responses of one responder: a row per query, killed and resumed, and prompts that do not fit."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config.engine import EngineConfig
from data_contracts.config.responders import Responder
from data_contracts.config.sampling import Sampling
from data_contracts.errors import ConfigError
from data_contracts.handles import ModelHandle, PromptHandle
from data_contracts.rows.rows import rows_of
from data_contracts.store.artifact_store import Store
from data_contracts.tables.queries import Query
from data_contracts.tables.responses import Response
from tasks.feedback.sample_responses import sample_responses
from tasks.runtime.context import use_store
from tests.tasks.conftest import query

A = Responder(name="A", model="large", prompt="hhh", shots=1)
SAMPLING = Sampling(max_new_tokens=10, shard_rows=2)
TEXTS = ("Who is Tim?", "Where is the sea?", "What do birds eat?", "Why is it red?", "How old is she?")


@pytest.fixture
def arguments(tiny_model: ModelHandle, conversations: PromptHandle) -> dict[str, Any]:
    """Everything that responder A's step takes but the queries."""
    return {
        "responder": A, "rank": 1, "model": tiny_model, "prompts": conversations, "sampling": SAMPLING,
        "engine": EngineConfig(), "seed": 1,
    }  # fmt: skip


def asked(texts: tuple[str, ...] = TEXTS) -> list[Query]:
    return [query(number, text) for number, text in enumerate(texts)]


@pytest.fixture
def sample(arguments: dict[str, Any]) -> Callable[..., list[Response]]:
    """Sample without a store; `changes` replace fields of the sampling section."""

    def run(texts: tuple[str, ...] = TEXTS, responder: Responder = A, seed: int = 1, **changes: Any) -> list[Response]:
        changed = {"responder": responder, "sampling": SAMPLING.model_copy(update=changes), "seed": seed}
        rows = list(sample_responses.fn(queries=rows_of(Query, asked(texts)), **(arguments | changed)))
        Response.to_table(rows)
        return rows

    return run


def test_every_query_gets_one_response(
    sample: Callable[..., list[Response]],
    compute: Callable[..., Any],
    stored: Callable[..., Any],
    arguments: dict[str, Any],
    store: Store,
):
    responses = compute(sample_responses, queries=stored(Query, asked()), **arguments)
    rows = list(responses)
    assert rows == sample(), "with a store or without one"
    assert [row.query for row in rows] == list(TEXTS)
    assert [row.response_id for row in rows] == [f"q{n}-A" for n in range(5)]
    assert {(row.responder, row.responder_rank, row.prompt_set, row.shots) for row in rows} == {("A", 1, "hhh", 1)}
    assert all(1 <= row.tokens <= 10 and row.response == row.response.strip() for row in rows)
    assert len({row.seed for row in rows}) == 5
    assert len(store.manifest(responses.artifact).parts) == 3, "five rows in shards of two"


def test_rows_do_not_depend_on_the_other_rows(sample: Callable[..., list[Response]]):
    """A response follows from its own query, seed and responder; shards only bundle them."""
    all_rows = {row.query: row.response for row in sample()}
    few = {row.query: row.response for row in sample(TEXTS[:3], shard_rows=3)}
    assert few == {text: all_rows[text] for text in TEXTS[:3]}


def test_seed_and_responder_change_the_sample(sample: Callable[..., list[Response]]):
    samples = (sample(), sample(seed=2), sample(responder=A.model_copy(update={"name": "B"})))
    texts = [[row.response for row in rows] for rows in samples]
    assert texts[0] != texts[1]
    assert texts[0] != texts[2]


def test_no_queries_make_an_empty_table(
    compute: Callable[..., Any], stored: Callable[..., Any], arguments: dict[str, Any]
):
    responses = compute(sample_responses, queries=stored(Query, []), **arguments)
    assert (len(responses), list(responses)) == (0, [])


def test_a_killed_run_redoes_at_most_one_shard_and_gives_the_same_bytes(
    compute: Callable[..., Any],
    stored: Callable[..., Any],
    arguments: dict[str, Any],
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    given = arguments | {"queries": stored(Query, asked())}
    untouched = Store(str(shutil.copytree(store.url, tmp_path / "untouched")))
    write_shard, written = store.write_shard, []

    def dies_at_third(contract: Any, key: str, shard: int, table: Any) -> Any:
        if shard == 2:
            raise KeyboardInterrupt
        written.append(shard)
        return write_shard(contract, key, shard, table)

    monkeypatch.setattr(store, "write_shard", dies_at_third)
    with pytest.raises(KeyboardInterrupt):
        compute(sample_responses, **given)
    assert written == [0, 1]
    assert sample_responses.find(**given) is None
    written.clear()
    monkeypatch.setattr(store, "write_shard", lambda *args: (written.append(args[2]), write_shard(*args))[1])
    resumed = compute(sample_responses, **given)
    assert written == [2], "only the shard that was lost"
    cost = store.cost(resumed.artifact)
    assert cost is not None
    assert (cost.counters["shards_found"], cost.counters["shards_computed"]) == (2, 1)
    with use_store(untouched):
        there = untouched.stored(Query, given["queries"].artifact)
        assert compute(sample_responses, **(given | {"queries": there})) == resumed


def test_a_prompt_longer_than_the_context_names_the_responder_and_both_lengths(
    compute: Callable[..., Any], stored: Callable[..., Any], arguments: dict[str, Any], store: Store
):
    with pytest.raises(ConfigError) as raised:
        compute(sample_responses, queries=stored(Query, asked(("Who is Tim? " * 80,))), **arguments)
    message = str(raised.value)
    assert message.startswith("responder A (tiny_model0, hhh with 1 shots), query q0: prompt 0 has ")
    assert "the model's context holds 256" in message
    assert not list(Path(store.url).glob("responses@1/*/*"))


def test_more_shots_than_the_file_has_are_refused(sample: Callable[..., list[Response]]):
    with pytest.raises(ConfigError, match="'hhh' has 2 conversations, but 5 shots"):
        sample(responder=A.model_copy(update={"shots": 5}))
