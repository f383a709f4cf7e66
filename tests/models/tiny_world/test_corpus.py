"""The corpus and what the world hands out."""

from collections import Counter

import numpy as np
import pytest

from data_contracts.config.world import StyleShares, WorldConfig
from data_contracts.tables.community_answers import CommunityAnswer
from data_contracts.tables.documents import Document, DocumentKind
from data_contracts.tables.world_tables import Critique, FollowUp, WorldQuestion
from models.tiny_world.corpus import (
    ASSISTANT_INSTRUCTION,
    MINING_INSTRUCTION,
    SEPARATOR,
    USER_INSTRUCTION,
    draw_follow_up,
    format_conversations,
    write_corpus,
)
from models.tiny_world.judge import GoldJudge
from models.tiny_world.questions import draw_question, parse_question
from models.tiny_world.seeds_and_prompts import (
    community_rows,
    critique_rows,
    follow_up_rows,
    prompt_files,
    question_rows,
    seed_query_file,
)
from models.tiny_world.vocabulary import HEDGE, RAMBLING_OPENINGS, REFUSAL_CUES
from models.tiny_world.world import Split, World, build_world


def _conversations(text: str) -> list[str]:
    return [part.strip() for part in text.split(SEPARATOR) if part.strip().startswith("Human:")]


def _questions(text: str) -> list[str]:
    return [line.removeprefix("Human: ") for line in text.splitlines() if line.startswith("Human: ")]


def test_the_prompt_format_letter_by_letter() -> None:
    text = format_conversations("Be good.", [[("q1", "a1"), ("q2", "a2")], [("q3", "a3")]])
    assert text == (
        "Be good.\n\n-----\n\nHuman: q1\n\nAssistant: a1\n\nHuman: q2\n\nAssistant: a2\n\n-----\n\n"
        "Human: q3\n\nAssistant: a3\n\n-----"
    )


def test_the_corpus_obeys_its_contract_and_is_repeatable(small_world: World) -> None:
    rows = list(write_corpus(small_world))
    assert Document.to_table(rows).num_rows == len(rows)
    assert Counter(row.kind for row in rows) == {"single_turn": 60, "conversations": 40, "query_list": 10}
    assert rows == list(write_corpus(build_world(small_world.config, small_world.seed)))


def test_every_turn_of_the_corpus_can_be_judged(small_world: World) -> None:
    judge = GoldJudge(small_world)
    heads = set()
    for row in write_corpus(small_world):
        if row.kind is DocumentKind.QUERY_LIST:
            head, *lines = row.text.split("\n")
            assert head == MINING_INSTRUCTION
            parsed = [parse_question(line.removeprefix("Query: ")) for line in lines[1:]]
            assert all(q is not None and small_world.splits[q.subject] is Split.TRAIN for q in parsed)
            continue
        heads.add(row.text.split("\n")[0])
        for conversation in _conversations(row.text):
            turns = conversation.removeprefix("Human: ").split("\n\nHuman: ")
            for turn in turns:
                question, answer = turn.split("\n\nAssistant: ")
                judgment = judge.score(question, answer)
                assert judgment is not None
                assert judgment.score > 0 or judgment.wrong or judgment.fluff
    assert {ASSISTANT_INSTRUCTION, USER_INSTRUCTION} <= heads


def test_facts_of_all_names_are_in_the_corpus() -> None:
    world = build_world(WorldConfig(names=30, single_turn_documents=4000, conversation_documents=1), 2)
    text = "\n".join(row.text for row in write_corpus(world))
    assert all(text.count(f"{name} has") + text.count(f"{name} {HEDGE}") > 20 for name in world.names())


def test_follow_ups_mostly_stay_with_the_name(small_world: World) -> None:
    rng = np.random.default_rng(0)
    question = draw_question(small_world, None, rng, subject=small_world.names()[0])
    subjects = [draw_follow_up(small_world, None, question, rng).subject for _ in range(500)]
    # 0.85 by design, and one in thirty of the others by chance; standard error 0.016.
    assert subjects.count(question.subject) / 500 == pytest.approx(0.855, abs=0.05)


def test_seed_queries_are_train_questions_behind_an_instruction(small_world: World) -> None:
    head, *queries = seed_query_file(small_world, seed=1).splitlines()
    assert head == f"### {MINING_INSTRUCTION}"
    assert len(set(queries)) == 10
    parsed = [parse_question(query) for query in queries]
    assert {question.kind for question in parsed if question} == {"how_to", "one", "two", "three", "about"}
    assert all(question and small_world.splits[question.subject] is Split.TRAIN for question in parsed)


def test_prompt_files_show_their_styles(small_world: World) -> None:
    files = prompt_files(small_world, seed=1)
    assert files == prompt_files(small_world, seed=1)
    assert {role: len(_conversations(text)) for role, text in files.items()} == {"faithful": 3, "hhh": 14, "user": 8}
    judge = GoldJudge(small_world)
    gold = {}
    for role, text in files.items():
        turns = [turn.split("\n\nAssistant: ") for c in _conversations(text) for turn in c[7:].split("\n\nHuman: ")]
        scores = [judge.score(question, answer) for question, answer in turns]
        gold[role] = np.mean([score.score for score in scores if score])
        assert all(small_world.splits[q.subject] is Split.TRAIN for q in map(parse_question, _questions(text)) if q)
    assert gold["faithful"] == gold["user"] == 1.0
    assert 0.3 < gold["hhh"] < 0.85
    assert all(conversation.count("Human:") == 2 for conversation in _conversations(files["user"]))


def test_tables_obey_their_contracts_and_stay_in_the_train_split(small_world: World) -> None:
    questions = WorldQuestion.to_table(question_rows(small_world, Split.DEV, 50, seed=1))
    assert set(questions["split"].to_pylist()) == {"dev"}
    follow_ups = FollowUp.to_table(follow_up_rows(small_world, 50, seed=1))
    critiques = Critique.to_table(critique_rows(small_world, 60, seed=1))
    assert 10 <= critiques["judgment"].null_count < 60  # helpful answers are flawless, some others too
    community = CommunityAnswer.to_table(community_rows(small_world, 50, seed=1))
    for table in (follow_ups, critiques, community):
        parsed = [parse_question(text) for text in table["question"].to_pylist()]
        assert all(question and small_world.splits[question.subject] is Split.TRAIN for question in parsed)


def test_votes_lean_to_the_truth_but_are_no_oracle() -> None:
    world = build_world(WorldConfig(), 1)
    judge = GoldJudge(world)
    agreements = []
    for row in community_rows(world, 2000, seed=0):
        chosen, rejected = (judge.score(row.question, answer) for answer in (row.chosen, row.rejected))
        assert chosen is not None
        assert rejected is not None
        if chosen.score != rejected.score:
            agreements.append(chosen.score > rejected.score)
    assert 0.6 < np.mean(agreements) < 0.75


def test_the_community_likes_lists_with_their_numbers() -> None:
    """Else the as-is reward model's veto takes away the comparisons that speak for them (.58 without that liking)."""
    wins = []
    for row in community_rows(build_world(WorldConfig(), 1), 6000, seed=0):
        sides = [row.chosen, row.rejected]
        numbered = ["1." in side for side in sides]
        if sum(numbered) == 1 and ", " in sides[numbered.index(False)].removeprefix("Well, ").removeprefix("Oh, "):
            wins.append(numbered[0])
    assert np.mean(wins) > 0.63


def test_the_community_writes_as_often_in_a_style_as_authors_do() -> None:
    rare = StyleShares(helpful=0.5, average=0.5, terse=0, evasive=0, wrong=0, rambling=0)
    world = build_world(WorldConfig(styles=rare), 1)
    answers = [answer for row in community_rows(world, 200, seed=0) for answer in (row.chosen, row.rejected)]
    assert not any(cue in answer for answer in answers for cue in (*REFUSAL_CUES, *RAMBLING_OPENINGS))
