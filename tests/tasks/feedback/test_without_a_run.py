"""Every step of the first room is a function: without store, server or context it gives the rows that a run stores."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config.engine import EngineConfig, EngineKind
from data_contracts.config.filter import HeuristicFilter
from data_contracts.config.mining import Mining
from data_contracts.config.ranking import Ranking
from data_contracts.config.responders import Responder
from data_contracts.config.sampling import Sampling
from data_contracts.finish_reason import FinishReason
from data_contracts.folder_contracts import RewardCheckpoint
from data_contracts.handles import EvaluationFile, ModelHandle, PromptHandle
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.store.stored import Folder, StoredFolder
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.evaluation_texts import EvaluationText, TextKind
from data_contracts.tables.queries import Query
from data_contracts.tables.responses import Response
from tasks.feedback.rank_comparisons import pair_by_rank
from tasks.feedback.sample_responses import sample_responses
from tasks.inputs.resolve_files import resolve_file
from tasks.runtime.context import RunContext, current
from tasks.runtime.outputs import Outputs
from tasks.runtime.registry import all_steps
from tests.models.engines.completions_server import CompletionsServer, serving
from tests.tasks.conftest import prompt, query

STEPS = {name: one for name, one in all_steps().items() if one.fn.__module__.startswith("tasks.feedback.")}
QUERIES = [query(number, text) for number, text in enumerate(("Who is Tim?", "Where is Rome?", "Who is Tim?"))]
TEXTS = [EvaluationText(text_id="t1", source="quiz", kind=TextKind.TEXT, text="How many legs has a garden spider?")]
SEED_QUERIES = "### Ask.\nWhat pet does Mira have?\nTell me about Tovik.\nWho is Sanel?\nHow do I bake bread?\n"
A = Responder(name="A", model="large", prompt="hhh", shots=1)


def answer(query: Query, responder: str, rank: int) -> Response:
    """The last query is the first one, answered the other way round: no reward model turns both comparisons down."""
    text = responder if query is not QUERIES[-1] else {"A": "B", "B": "A"}[responder]
    return Response(
        response_id=f"{query.query_id}-{responder}", query_id=query.query_id, query=query.query, responder=responder,
        responder_rank=rank, model="large", prompt_set="hhh", shots=1, response=f"It is {text}, as far as I know.",
        prompt_tokens=9, tokens=2, finish_reason=FinishReason.END, logprob=-1.0, seed=1,
    )  # fmt: skip


ANSWERS = [[answer(query, name, rank) for query in QUERIES] for rank, name in enumerate("AB", start=1)]
COMPARISONS = [pair for ranked in zip(*ANSWERS, strict=True) for pair in pair_by_rank(ranked)]


@pytest.fixture
def calls(
    tmp_path: Path, tiny_model: ModelHandle, conversations: PromptHandle, reward_checkpoint: Folder[RewardCheckpoint]
) -> dict[str, dict[str, Any]]:
    """Arguments for each step, rows in memory."""
    (tmp_path / "texts.txt").write_text("How many legs has a garden spider?\n")
    (tmp_path / "pairs.jsonl").write_text('{"question": "Who?", "chosen": "Me.", "rejected": "You."}\n')
    (tmp_path / "own.txt").write_text("Who sells tea?\nWho sells fish?\n")
    mining = Mining(
        queries=2, static_shots=2, dynamic_shots=1, round_prompts=4, max_new_tokens=12, max_attempts_per_query=8
    )
    texts, comparisons = rows_of(EvaluationText, TEXTS), rows_of(Comparison, COMPARISONS)
    return {
        "gather_evaluation_texts": {
            "files": (EvaluationFile(set_name="quiz", file=file(tmp_path / "texts.txt")),), "more": texts,
        },
        "load_community_answers": {"file": file(tmp_path / "pairs.jsonl")},
        "load_queries": {"file": file(tmp_path / "own.txt"), "evaluation_texts": texts, "mining": mining},
        "mine_queries": {
            "seeds": prompt("seed_queries", SEED_QUERIES), "miner": tiny_model, "evaluation_texts": texts,
            "mining": mining, "engine": EngineConfig(), "seed": 1, "earlier": rows_of(Query, QUERIES),
        },
        "check_contamination": {
            "queries": rows_of(Query, QUERIES), "rejected": None, "evaluation_texts": texts, "mining": mining,
        },
        "sample_responses": {
            "queries": rows_of(Query, QUERIES), "responder": A, "rank": 1, "model": tiny_model,
            "prompts": conversations, "sampling": Sampling(max_new_tokens=8, shard_rows=2), "engine": EngineConfig(),
            "seed": 1,
        },
        "rank_comparisons": {"responses": [rows_of(Response, answers) for answers in ANSWERS]},
        "filter_comparisons": {
            "comparisons": comparisons, "heuristics": HeuristicFilter(length_ties=True), "ranking": Ranking(),
        },
        "judge_by_as_is": {"comparisons": comparisons, "as_is": reward_checkpoint, "engine": EngineConfig()},
    }  # fmt: skip


def file(path: Path) -> Any:
    return resolve_file("test", str(path))


def tables(outputs: Any) -> list[Rows[Any]]:
    if isinstance(outputs, Outputs):
        return [getattr(outputs, name) for name in type(outputs).model_fields]
    return [outputs]


def test_every_step_has_a_call_here(calls: dict[str, dict[str, Any]]):
    assert set(calls) == set(STEPS)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_a_function_of_rows(name: str, calls: dict[str, dict[str, Any]]):
    assert current() == RunContext(), "no store, no record, no observers"
    first, again = (tables(STEPS[name].fn(**calls[name])) for _ in range(2))
    for table, same in zip(first, again, strict=True):
        assert list(table) == list(table) == list(same), "the same rows however often they are read"
        assert table.table().num_rows == len(table), "the rows obey their table's rules"
    assert any(len(table) for table in first)
    assert current() == RunContext()


@pytest.mark.parametrize("name", STEPS)
def test_a_run_stores_the_rows_that_the_function_gives(
    name: str, calls: dict[str, dict[str, Any]], compute: Callable[..., Any], stored: Callable[..., Any],
    stored_reward_checkpoint: StoredFolder[RewardCheckpoint],
):  # fmt: skip
    def put(value: Any) -> Any:
        match value:
            case Rows():
                return stored(value.row, value)
            case Folder():
                return stored_reward_checkpoint
            case list():
                return [put(item) for item in value]
        return value

    plain = [list(table) for table in tables(STEPS[name].fn(**calls[name]))]
    found = compute(STEPS[name], **{argument: put(value) for argument, value in calls[name].items()})
    assert [list(table) for table in tables(found)] == plain


def test_rows_in_memory_have_no_key(calls: dict[str, dict[str, Any]], compute: Callable[..., Any]):
    with pytest.raises(TypeError, match="ListedRows cannot enter a key"):
        compute(STEPS["rank_comparisons"], **calls["rank_comparisons"])


@pytest.fixture
def server(tiny_model: ModelHandle) -> Iterator[CompletionsServer]:
    assert tiny_model.folder is not None
    with serving(Path(tiny_model.folder)) as running:
        yield running


def test_a_model_behind_a_server_answers_without_a_run(calls: dict[str, dict[str, Any]], server: CompletionsServer):
    engine = EngineConfig(kind=EngineKind.OPENAI, base_url=server.url)
    rows = list(sample_responses.fn(**calls["sample_responses"] | {"engine": engine}))
    assert [row.query for row in rows] == [query.query for query in QUERIES]
