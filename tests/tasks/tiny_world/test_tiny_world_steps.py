"""The tiny world's steps: what it hands out obeys its contracts, and its judge labels answers."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config.engine import EngineConfig
from data_contracts.config.evaluation import Evaluation
from data_contracts.config.world import CommunityConfig, WorldConfig
from data_contracts.conversation import Role, Turn
from data_contracts.finish_reason import FinishReason
from data_contracts.handles import ModelHandle
from data_contracts.rows.rows import rows_of
from data_contracts.store.artifact_store import Store
from data_contracts.tables.demonstrations import Candidate, Demonstration, QuerySplit
from data_contracts.tables.responses import Response
from models.prompts.few_shot_prompt import parse_prompt_set, parse_seed_queries
from models.tiny_world.judge import GoldJudge
from models.tiny_world.world import Split, build_world
from tasks.tiny_world.build_tiny_world import TinyWorld, build_tiny_world
from tasks.tiny_world.judge_by_gold import (
    judge_demonstrations_by_gold,
    judge_model_by_gold,
    judge_responses_by_gold,
)

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


@pytest.fixture(scope="module")
def world() -> TinyWorld:
    return build_tiny_world.fn(world=WORLD, seed=1)


def test_the_world_hands_out_what_was_asked_for(world: TinyWorld):
    assert Counter(document.kind for document in world.documents) == {
        "single_turn": 60, "conversations": 20, "query_list": 10,
    }  # fmt: skip
    assert Counter(question.split for question in world.questions) == {"train": 10, "dev": 10, "test": 10}
    assert len(world.community_answers) == 12
    assert len(world.follow_ups) == 6
    assert len(world.critiques) == 8
    folder = world.prompts.local()
    for name in ("hhh", "faithful", "user"):
        assert parse_prompt_set(name, (folder / f"{name}.txt").read_text(), name).conversations
    assert len(parse_seed_queries((folder / "seed_queries.txt").read_text(), "seeds").queries) >= 10


def test_the_corpus_knows_no_question_of_dev_or_test_names_in_its_prompts(world: TinyWorld):
    """Names of the dev and test splits appear in no prompt and no seed query: those are the training side's."""
    facts = build_world(WORLD, 1)
    heldout = {*facts.names(Split.DEV), *facts.names(Split.TEST)}
    assert heldout
    for path in world.prompts.local().glob("*.txt"):
        words = set(path.read_text().replace(".", " ").replace(",", " ").replace("?", " ").replace(":", " ").split())
        assert not words & heldout, path.name


def test_the_same_seed_gives_the_same_bytes_and_another_another_world(compute: Callable[..., Any], store: Store):
    first = compute(build_tiny_world, world=WORLD, seed=1)
    for path in Path(store.url).glob("*@*/*/manifest.json"):
        path.unlink()
    assert compute(build_tiny_world, world=WORLD, seed=1) == first
    other = compute(build_tiny_world, world=WORLD, seed=2)
    for name in ("documents", "questions", "prompts", "community_answers"):
        assert getattr(other, name).artifact.digest != getattr(first, name).artifact.digest


def response(number: int, query: str, text: str, reason: FinishReason = FinishReason.END) -> Response:
    return Response(
        response_id=f"q{number}-A", query_id=f"q{number}", query=query, responder="A", responder_rank=1, model="m",
        prompt_set="hhh", shots=0, response=text, prompt_tokens=1, tokens=1, finish_reason=reason, logprob=-1.0, seed=1,
    )  # fmt: skip


def gold_of(question: str, answer: str) -> float:
    judgment = GoldJudge(build_world(WORLD, 1)).score(question, answer)
    assert judgment is not None
    return judgment.score


def test_gold_judges_what_it_understands_and_leaves_out_the_rest(world: TinyWorld):
    question = next(iter(world.questions)).question
    responses = [
        response(1, question, "I don't know."),
        response(2, "What is the meaning of life?", "42."),
        response(3, question, "", FinishReason.FAILED),
    ]
    (item,) = judge_responses_by_gold.fn(responses=[rows_of(Response, responses)], world=WORLD, world_seed=1)
    assert (item.item_id, item.subject, item.value) == ("q1-A", "A", gold_of(question, "I don't know."))


def test_a_demonstration_is_compared_with_the_mean_of_its_candidates(world: TinyWorld):
    question = next(iter(world.questions)).question
    texts = ("I don't know.", "It is a fine day.")
    demonstration = Demonstration(
        demonstration_id="d1",
        query_id="q1",
        turn=1,
        split=QuerySplit.SEEN,
        context=(Turn(Role.HUMAN, question),),
        response=texts[0],
        score=1.0,
        candidates=(
            *(Candidate(text, 1.0, 3, FinishReason.END, 1) for text in texts),
            Candidate("", None, 0, FinishReason.FAILED, 1),
        ),
        chosen_candidate=0,
        usable=True,
    )
    rows = rows_of(Demonstration, [demonstration])
    chosen, mean = judge_demonstrations_by_gold.fn(demonstrations=rows, world=WORLD, world_seed=1)
    golds = [gold_of(question, text) for text in texts]
    assert (chosen.subject, chosen.output, chosen.value) == ("chosen", texts[0], golds[0])
    assert (mean.subject, mean.output, mean.value) == ("candidates", None, sum(golds) / 2)
    assert mean.evaluation_id == "gold_demonstrations:candidates:d1"


def test_a_model_is_judged_on_test_questions_only(
    world: TinyWorld, tiny_model: ModelHandle, compute: Callable[..., Any]
):
    evaluation = Evaluation(questions=4, max_new_tokens=6)
    settings: dict[str, Any] = {"world": WORLD, "world_seed": 1, "engine": EngineConfig(), "seed": 1}
    stored_world = compute(build_tiny_world, world=WORLD, seed=1)
    given = settings | {"subject": "sft", "model": tiny_model, "questions": stored_world.questions}
    found = compute(judge_model_by_gold, **given, evaluation=evaluation)
    tests = [question.question_id for question in world.questions if question.split == "test"][:4]
    assert [item.item_id for item in found] == tests
    assert {(item.subject, item.benchmark) for item in found} == {("sft", "gold_questions")}
    moved = evaluation.model_copy(update={"overlap_files": ("elsewhere.txt",), "preference_files": ("x.jsonl",)})
    assert judge_model_by_gold.key(**given, evaluation=moved) == found.artifact.key
