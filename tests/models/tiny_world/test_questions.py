"""Drawing questions and reading any text as one."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from data_contracts.config.world import WorldConfig
from data_contracts.errors import ConfigError
from models.tiny_world.questions import (
    Question,
    QuestionKind,
    draw_question,
    parse_question,
    question_split,
    sample_questions,
)
from models.tiny_world.world import Split, World, build_world


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), follow_up=st.booleans())
def test_what_was_drawn_is_what_is_read(small_world: World, seed: int, follow_up: bool) -> None:
    question = draw_question(small_world, None, np.random.default_rng(seed), follow_up=follow_up)
    assert parse_question(question.text) == question
    assert question.text[:-1].split()[-1] == question.subject
    assert question.text[-1] in ".?"
    assert question.text[0].isupper()


@pytest.mark.parametrize(
    ("text", "kind", "attributes"),
    [
        ("What is the pet of Mira?", QuestionKind.ONE, ("pet",)),
        ("the job , pet of old Mira", QuestionKind.TWO, ("job", "pet")),
        ("What is the pet and the pet of Mira?", QuestionKind.ONE, ("pet",)),
        ("List the job, pet, town and food of Mira.", QuestionKind.THREE, ("job", "pet", "town", "food")),
        ("Now, who is Mira", QuestionKind.ABOUT, ("job", "town", "pet", "food")),
    ],
)
def test_texts_a_model_may_make_up(text: str, kind: QuestionKind, attributes: tuple[str, ...]) -> None:
    assert parse_question(text) == Question(kind, "Mira", attributes, text)


def test_a_how_to_question_needs_its_cue() -> None:
    assert parse_question("Hi, how do I make fine tea?") == Question(
        QuestionKind.HOW_TO, "tea", (), "Hi, how do I make fine tea?"
    )
    assert parse_question("Who likes tea?") is None


@pytest.mark.parametrize(
    "text", ["", "Mira", "Give me the pet of", "The pet of Mira is nice.", "I like Mira.", "1 + 1?"]
)
def test_other_texts_are_no_questions(text: str) -> None:
    assert parse_question(text) is None


def test_sampling_is_repeatable_distinct_and_stays_in_its_split(small_world: World) -> None:
    questions = sample_questions(small_world, Split.TEST, 300, seed=1)
    assert questions == sample_questions(small_world, Split.TEST, 300, seed=1)
    assert len({question.text for question in questions}) == 300
    assert all(small_world.splits[question.subject] is Split.TEST for question in questions)


def test_kinds_come_in_their_shares() -> None:
    world = build_world(WorldConfig(), 1)
    kinds = Counter(question.kind for question in sample_questions(world, Split.TRAIN, 4000, seed=0))
    # Standard error of a share is below 0.008; how-to questions repeat more, as there are few tasks.
    assert kinds[QuestionKind.TWO] / 4000 == pytest.approx(0.25, abs=0.04)
    assert kinds[QuestionKind.HOW_TO] / 4000 == pytest.approx(0.15, abs=0.05)


def test_a_split_that_has_too_few_questions_says_so() -> None:
    config = WorldConfig.model_validate(
        {"names": 6, "questions": {"how_to": 1.0, "one": 0, "two": 0, "three": 0, "about": 0}}
    )
    with pytest.raises(ConfigError, match=r"the test split yields about [\d,]+ different questions, 5,000 were asked"):
        sample_questions(build_world(config, 0), Split.TEST, 5000, seed=0)


def test_a_follow_up_can_be_asked_in_a_world_of_how_to_questions() -> None:
    config = WorldConfig.model_validate({"questions": {"how_to": 1.0, "one": 0, "two": 0, "three": 0, "about": 0}})
    world = build_world(config, 0)
    name = world.names()[0]
    question = draw_question(world, None, np.random.default_rng(0), subject=name, follow_up=True)
    assert (question.kind, question.subject) == (QuestionKind.ABOUT, name)


def test_wording_leaves_most_questions_after_rouge_l_dedup() -> None:
    """Of 300 questions about 98 names, Rouge-L above 0.75 drops few, and above the paper's 0.5 most."""
    questions = [q.text for q in sample_questions(build_world(WorldConfig(), 1), Split.TRAIN, 300, seed=0)]
    scorer = RougeScorer(["rougeL"])

    def kept(limit: float) -> int:
        found: list[str] = []
        for text in questions:
            if all(scorer.score(text, other)["rougeL"].fmeasure <= limit for other in found):
                found.append(text)
        return len(found)

    assert kept(0.75) > 270
    assert 20 < kept(0.5) < 150


def test_the_split_of_a_text_follows_its_subject(hand_world: World) -> None:
    assert question_split(hand_world, "Hi, give me the pet of our Mira.") is Split.TRAIN
    assert question_split(hand_world, "Who is Tovik?") is Split.TEST
    assert question_split(hand_world, "What are the steps for good jam?") is Split.TEST
    assert question_split(hand_world, "Who is Nobod?") is None
    assert question_split(hand_world, "Hello there.") is None
