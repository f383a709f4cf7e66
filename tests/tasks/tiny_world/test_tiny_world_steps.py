"""The tiny world's steps: what it hands out obeys its contracts, and its judge labels answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config.engine import EngineConfig
from data_contracts.config.evaluation import Evaluation
from data_contracts.config.world import CommunityConfig, WorldConfig
from data_contracts.handles import ModelHandle
from data_contracts.store.artifact_store import Store
from data_contracts.tables.community_answers import CommunityAnswer
from data_contracts.tables.documents import Document
from data_contracts.tables.evaluations import EvaluatedItem
from data_contracts.tables.responses import Response
from data_contracts.tables.world_tables import Critique, FollowUp, WorldQuestion
from models.prompts.few_shot_prompt import parse_prompt_set, parse_seed_queries
from models.tiny_world.judge import GoldJudge
from models.tiny_world.world import Split, build_world
from tasks.tiny_world.build_tiny_world import TinyWorld, build_tiny_world
from tasks.tiny_world.judge_by_gold import judge_model_by_gold, judge_responses_by_gold

WORLD = WorldConfig(
    names=12,
    how_to_tasks=4,
    single_turn_documents=60,
    conversation_documents=20,
    query_list_documents=10,
    vocabulary_size=400,
    questions_per_split=10,
    critiques=8,
    follow_ups=6,
    community=CommunityConfig(pairs=12),
)


@pytest.fixture
def world(compute: Callable[..., Any]) -> TinyWorld:
    return compute(build_tiny_world, WORLD, 1)


def test_the_world_hands_out_what_was_asked_for(world: TinyWorld, store: Store):
    kinds = read(Document, world.documents)["kind"].to_pylist()
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "single_turn": 60, "conversations": 20, "query_list": 10,
    }  # fmt: skip
    splits = read(WorldQuestion, world.questions)["split"].to_pylist()
    assert {split: splits.count(split) for split in set(splits)} == {"train": 10, "dev": 10, "test": 10}
    assert read(CommunityAnswer, world.community_answers).num_rows == 12
    assert read(FollowUp, world.follow_ups).num_rows == 6
    assert read(Critique, world.critiques).num_rows == 8
    folder = store.local_folder(world.prompts)
    for name in ("hhh", "faithful", "user"):
        assert parse_prompt_set(name, (folder / f"{name}.txt").read_text(), name).conversations
    assert len(parse_seed_queries((folder / "seed_queries.txt").read_text(), "seeds").queries) >= 10


def test_the_corpus_knows_no_question_of_dev_or_test_names_in_its_prompts(world: TinyWorld, store: Store):
    """Names of the dev and test splits appear in no prompt and no seed query: those are the training side's."""
    facts = build_world(WORLD, 1)
    heldout = {*facts.names(Split.DEV), *facts.names(Split.TEST)}
    assert heldout
    folder = store.local_folder(world.prompts)
    for path in folder.glob("*.txt"):
        words = set(path.read_text().replace(".", " ").replace(",", " ").replace("?", " ").replace(":", " ").split())
        assert not words & heldout, path.name


def test_the_same_seed_gives_the_same_bytes_and_another_another_world(compute: Callable[..., Any], store: Store):
    first = compute(build_tiny_world, WORLD, 1)
    for path in Path(store.url).glob("*@*/*/manifest.json"):
        path.unlink()
    assert compute(build_tiny_world, WORLD, 1) == first
    other = compute(build_tiny_world, WORLD, 2)
    for name in ("documents", "questions", "prompts", "community_answers"):
        assert getattr(other, name).digest != getattr(first, name).digest


def response(number: int, query: str, text: str) -> dict[str, Any]:
    return {
        "response_id": f"q{number}-A", "query_id": f"q{number}", "query": query, "responder": "A", "responder_rank": 1,
        "model": "m", "prompt_set": "hhh", "shots": 0, "response": text, "prompt_tokens": 1, "tokens": 1,
        "finish_reason": "end", "logprob": -1.0, "seed": 1,
    }  # fmt: skip


def test_gold_judges_what_it_understands_and_leaves_out_the_rest(
    compute: Callable[..., Any], commit: Callable[..., Any], world: TinyWorld
):
    question = read(WorldQuestion, world.questions)["question"].to_pylist()[0]
    rows = [response(1, question, "I don't know."), response(2, "What is the meaning of life?", "42.")]
    artifact = compute(judge_responses_by_gold, [commit(Response, rows)], WORLD, 1)
    (row,) = read(EvaluatedItem, artifact).to_pylist()
    judgment = GoldJudge(build_world(WORLD, 1)).score(question, "I don't know.")
    assert judgment is not None
    assert (row["item_id"], row["subject"], row["value"]) == ("q1-A", "A", judgment.score)


def test_a_model_is_judged_on_test_questions_only(
    compute: Callable[..., Any], world: TinyWorld, tiny_model: ModelHandle
):
    evaluation = Evaluation(questions=4, max_new_tokens=6)
    artifact = compute(judge_model_by_gold, "sft", tiny_model, world.questions, WORLD, 1, evaluation, EngineConfig(), 1)
    rows = read(EvaluatedItem, artifact).to_pylist()
    asked = read(WorldQuestion, world.questions).to_pylist()
    tests = [row["question_id"] for row in asked if row["split"] == "test"][:4]
    assert [row["item_id"] for row in rows] == tests
    assert {(row["subject"], row["benchmark"]) for row in rows} == {("sft", "gold_questions")}
    moved = evaluation.model_copy(update={"overlap_files": ("elsewhere.txt",), "preference_files": ("x.jsonl",)})
    arguments = (tiny_model, world.questions, WORLD, 1)
    assert judge_model_by_gold.key("sft", *arguments, moved, EngineConfig(), 1) == artifact.key
