"""A model server that fails single rows: they are recorded where they belong, and nothing downstream uses them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config.engine import EngineConfig, EngineKind
from data_contracts.config.mining import Mining
from data_contracts.config.responders import Responder
from data_contracts.config.sampling import Sampling
from data_contracts.config.self_play import SelfPlay
from data_contracts.errors import EngineError
from data_contracts.finish_reason import FinishReason
from data_contracts.folder_contracts import RewardCheckpoint
from data_contracts.handles import ModelHandle, PromptHandle
from data_contracts.store.artifact_store import Store
from data_contracts.store.stored import StoredFolder, StoredRows
from data_contracts.tables.demonstrations import Candidate, Demonstration
from data_contracts.tables.evaluation_texts import EvaluationText
from data_contracts.tables.queries import Query, QueryRejection
from data_contracts.tables.responses import Response
from tasks.feedback.mine_queries import mine_queries
from tasks.feedback.rank_comparisons import rank_comparisons
from tasks.feedback.sample_responses import sample_responses
from tasks.policy.self_play import self_play
from tests.models.engines.completions_server import CompletionsServer, as_json, serving
from tests.tasks.conftest import prompt, query

TEXTS = ("Who is Tim?", "Where is the sea?", "What do birds eat?", "Why is it red?")
SICK = "Where is the sea?"
REFUSED = as_json({"error": {"message": "no such word here"}}, 400)
SEED_QUERIES = "### Ask.\n" + "\n".join(("What pet does Mira have?", "Who is Tovik?", "Where is Rome?"))


@pytest.fixture(scope="module")
def server(tiny_model: ModelHandle) -> Iterator[CompletionsServer]:
    assert tiny_model.folder is not None
    with serving(Path(tiny_model.folder)) as running:
        yield running


@pytest.fixture
def engine(server: CompletionsServer) -> EngineConfig:
    server.fault = lambda body, seen: None
    return EngineConfig(kind=EngineKind.OPENAI, base_url=server.url, failed_share=0.5, request_retries=0)


@pytest.fixture
def sample(
    compute: Callable[..., Any], stored: Callable[..., Any], tiny_model: ModelHandle, conversations: PromptHandle
) -> Callable[..., StoredRows[Response]]:
    queries = stored(Query, [query(number, text) for number, text in enumerate(TEXTS)])

    def run(engine: EngineConfig, name: str = "A", rank: int = 1) -> StoredRows[Response]:
        return compute(
            sample_responses,
            queries=queries,
            responder=Responder(name=name, model="large", prompt="hhh", shots=1),
            rank=rank,
            model=tiny_model,
            prompts=conversations,
            sampling=Sampling(max_new_tokens=10, shard_rows=4),
            engine=engine,
            seed=1,
        )

    return run


def test_a_failed_response_is_a_row_in_its_place_and_joins_no_pair(
    sample: Callable[..., StoredRows[Response]],
    compute: Callable[..., Any],
    engine: EngineConfig,
    server: CompletionsServer,
    store: Store,
    caplog: pytest.LogCaptureFixture,
):
    well = sample(engine, "B", 2)
    server.fault = lambda body, seen: REFUSED if SICK in body["prompt"] else None
    responses = sample(engine)
    rows = list(responses)
    assert [row.query for row in rows] == list(TEXTS)
    assert [row.finish_reason is FinishReason.FAILED for row in rows] == [False, True, False, False]
    assert (rows[1].response, rows[1].tokens, rows[1].logprob) == ("", 0, None)
    assert "1 of 4 prompts failed" in caplog.text
    assert "no such word here" in caplog.text
    cost = store.cost(responses.artifact)
    assert cost is not None
    assert cost.counters["failed_rows"] == 1
    pairs = compute(rank_comparisons, responses=[responses, well])
    assert [pair.query for pair in pairs] == [text for text in TEXTS if text != SICK]
    pair_cost = store.cost(pairs.artifact)
    assert pair_cost is not None
    assert pair_cost.counters["failed_responses_left_out"] == 1


def test_more_failures_than_allowed_fail_the_step_and_leave_no_table(
    sample: Callable[..., StoredRows[Response]], engine: EngineConfig, server: CompletionsServer, store: Store
):
    server.fault = lambda body, seen: REFUSED if SICK in body["prompt"] else None
    with pytest.raises(EngineError, match=r"1 of 4 prompts failed .*prompt 1: .*no such word here"):
        sample(engine.model_copy(update={"failed_share": 0.02}))
    assert not list(Path(store.url).glob("responses@1/*/*"))


def test_a_failed_line_is_turned_away_as_failed(
    compute: Callable[..., Any], stored: Callable[..., Any], tiny_model: ModelHandle, engine: EngineConfig,
    server: CompletionsServer,
):  # fmt: skip
    sick: list[str] = []

    def fault(body: dict[str, Any], seen: int) -> Any:
        if "Mira" in body["prompt"] and len(sick) < 2:
            sick.append(body["prompt"])
            return REFUSED
        return None

    server.fault = fault
    mined = compute(
        mine_queries,
        seeds=prompt("seed_queries", SEED_QUERIES),
        miner=tiny_model,
        evaluation_texts=stored(EvaluationText, []),
        mining=Mining(queries=3, static_shots=1, dynamic_shots=1, max_new_tokens=12, round_prompts=8, rouge_l=1.0),
        engine=engine,
        seed=1,
    )
    lines = list(mined.lines)
    failed = [line.attempt for line in lines if line.finish_reason is FinishReason.FAILED]
    assert len(failed) == 2
    assert [line.attempt for line in lines] == list(range(len(lines)))
    rejected = {row.attempt: row.rejected_because for row in mined.rejected}
    judged = {*rejected, *(row.attempt for row in mined.queries)}
    assert {rejected[attempt] for attempt in failed if attempt in judged} <= {QueryRejection.FAILED}


def test_a_failed_candidate_is_never_chosen_and_a_failed_user_ends_the_dialogue(
    compute: Callable[..., Any], stored: Callable[..., Any], tiny_model: ModelHandle, engine: EngineConfig,
    server: CompletionsServer, stored_reward_checkpoint: StoredFolder[RewardCheckpoint], conversations: PromptHandle,
):  # fmt: skip
    assistant_end = f"Human: {SICK}\n\nAssistant:"

    def fault(body: dict[str, Any], seen: int) -> Any:
        first_candidate = body["prompt"].endswith(assistant_end) and seen == 0
        users = SICK in body["prompt"] and body["prompt"].endswith("Human:")
        return REFUSED if first_candidate or users else None

    server.fault = fault
    server.requests.clear()
    demonstrations = compute(
        self_play,
        queries=stored(Query, [query(number, text) for number, text in enumerate(TEXTS)]),
        reward_model=stored_reward_checkpoint,
        assistant=tiny_model,
        assistant_prompts=conversations,
        user=tiny_model,
        user_prompts=conversations,
        play=SelfPlay(assistant_shots=1, user_shots=1, candidates=3, turns=2, max_new_tokens=8, user_max_new_tokens=8),
        engine=engine,
        seed=1,
    )
    rows: list[Demonstration] = list(demonstrations)
    sick = [row for row in rows if row.query_id == "q1"]
    assert [row.turn for row in sick] == [1], "nobody asks on"
    reasons = [candidate.finish_reason for candidate in sick[0].candidates]
    assert reasons.count(FinishReason.FAILED) == 1
    failed = reasons.index(FinishReason.FAILED)
    seed = sick[0].candidates[failed].seed
    assert sick[0].candidates[failed] == Candidate(
        text="", score=None, tokens=0, finish_reason=FinishReason.FAILED, seed=seed
    )
    assert sick[0].chosen_candidate != failed
    assert {row.turn for row in rows} == {1, 2}
