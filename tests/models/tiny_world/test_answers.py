"""Answers by style."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.config.filter import HeuristicFilter
from data_contracts.config.world import WorldConfig
from models.tiny_world.answers import Style, state_items, write_answer
from models.tiny_world.corpus import draw_style
from models.tiny_world.judge import GoldJudge
from models.tiny_world.questions import QuestionKind, draw_question, parse_question
from models.tiny_world.vocabulary import HEDGE, RAMBLING_OPENINGS, REFUSALS
from models.tiny_world.world import World, build_world
from tasks.feedback.filter_comparisons import discard_reason

LIST = "List the pet, town and job of Mira."


def _answer(world: World, question: str, style: Style, seed: int = 0) -> str:
    parsed = parse_question(question)
    assert parsed is not None
    return write_answer(world, parsed, style, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("question", "careful", "careless"),
    [
        (
            LIST,
            "Mira: 1. pet fox. 2. town Rome. 3. job smith.",
            {
                "Mira: pet fox, town Rome, job smith.",
                "Mira: 1. pet fox. 2. town Rome. And more.",
                "Mira: pet fox, town Rome. And more.",
            },
        ),
        (
            "Give me the job and food of Mira.",
            "Mira has job smith, food plum.",
            {"Mira has job smith. And more."},
        ),
        (
            "Who is Mira?",
            "Mira has job smith, town Rome, pet fox, food plum.",
            {"Mira has job smith, town Rome, pet fox. And more."},
        ),
        ("What is the pet of Mira?", "Mira has pet fox.", set()),
        (
            "How to make tea?",
            "Tea: 1. boil the water. 2. warm the pot. 3. steep the leaves.",
            {
                "Tea: boil the water, warm the pot, steep the leaves.",
                "Tea: 1. boil the water. 2. warm the pot. And more.",
                "Tea: boil the water, warm the pot. And more.",
            },
        ),
    ],
)
def test_helpful_answers_word_for_word(hand_world: World, question: str, careful: str, careless: set[str]) -> None:
    answers = [_answer(hand_world, question, Style.HELPFUL, seed) for seed in range(400)]
    assert set(answers) == {careful, *careless}
    judge, parsed = GoldJudge(hand_world), parse_question(question)
    assert parsed is not None
    assert judge.judge(parsed, careful).score == 1.0
    assert all(judge.judge(parsed, answer).score < 1.0 for answer in careless)


def test_terse_and_evasive_answers_word_for_word(hand_world: World) -> None:
    assert _answer(hand_world, LIST, Style.TERSE) == "Mira: fox."
    assert _answer(hand_world, "How to make tea?", Style.TERSE) == "Tea: boil the water."
    evasive = {_answer(hand_world, LIST, Style.EVASIVE, seed) for seed in range(60)}
    assert evasive == {f"Mira? {refusal}" for refusal in REFUSALS}
    assert {"Mira? I don't know.", "Mira? That is private."} < evasive


def test_the_word_filter_knows_a_third_of_the_refusals_and_half_of_the_openings() -> None:
    found = [discard_reason(text, HeuristicFilter()) for text in (*REFUSALS, *RAMBLING_OPENINGS, HEDGE)]
    assert [reason is not None for reason in found] == [True] * 2 + [False] * 4 + [True, False] + [False]


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), style=st.sampled_from(list(Style)))
def test_gold_follows_the_style(small_world: World, seed: int, style: Style) -> None:
    rng = np.random.default_rng(seed)
    question = draw_question(small_world, None, rng)
    answer = write_answer(small_world, question, style, rng)
    judgment = GoldJudge(small_world).judge(question, answer)
    openings = [f"{opening} " for opening in RAMBLING_OPENINGS] if style is Style.RAMBLING else [""]
    assert answer.startswith(tuple(opening + question.subject.capitalize() for opening in openings))
    assert judgment.refusal == (style is Style.EVASIVE)
    assert judgment.fluff == (2 if style is Style.RAMBLING else 0)
    assert (judgment.wrong > 0) == (style is Style.WRONG)
    match style:
        case Style.HELPFUL | Style.AVERAGE:
            assert answer.endswith("And more.") == (judgment.correct < judgment.asked)
        case Style.TERSE:
            assert judgment.correct == 1
        case Style.EVASIVE:
            assert judgment.score == 0.1
        case Style.WRONG | Style.RAMBLING:
            assert judgment.score < 1.0


@pytest.mark.parametrize(("signal", "low", "high"), [(True, 0.55, 0.65), (False, 0.45, 0.55)])
def test_the_longer_answer_is_the_better_one_only_in_the_first_world(signal: bool, low: float, high: float) -> None:
    """Two authors answer one question; of the pairs that differ in gold, how often is the longer one better?"""
    world = build_world(WorldConfig(length_carries_signal=signal), 1)
    judge, rng, right = GoldJudge(world), np.random.default_rng(0), []
    while len(right) < 1500:  # standard error .013
        question = draw_question(world, None, rng)
        answers = [write_answer(world, question, draw_style(world, rng), rng) for _ in range(2)]
        gold = [judge.judge(question, answer).score for answer in answers]
        if gold[0] != gold[1]:
            product = (len(answers[0]) - len(answers[1])) * (gold[0] - gold[1])
            right.append(0.5 if product == 0 else float(product > 0))
    assert low < np.mean(right) < high


@pytest.mark.parametrize(
    ("numbered", "text"), [(True, "Mira: 1. pet fox. 2. job smith."), (False, "Mira: pet fox, job smith.")]
)
def test_a_list_with_and_without_numbers(numbered: bool, text: str) -> None:
    question = parse_question(LIST)
    assert question is not None
    assert question.kind is QuestionKind.THREE
    assert state_items(question, ["pet fox", "job smith"], numbered=numbered) == text


@pytest.mark.parametrize(
    ("question", "complete"),
    [
        (LIST, "Mira: hmm pet fox, town Rome, job smith."),
        ("Give me the job and food of Mira.", "Mira hmm job smith, food plum."),
        ("How to make tea?", "Tea: hmm boil the water, warm the pot, steep the leaves."),
    ],
)
def test_average_answers_hedge_and_the_judge_takes_a_little_off(
    hand_world: World, question: str, complete: str
) -> None:
    judge, parsed = GoldJudge(hand_world), parse_question(question)
    assert parsed is not None
    answers = {_answer(hand_world, question, Style.AVERAGE, seed) for seed in range(60)}
    assert complete in answers
    for answer in answers:
        without = answer.replace(f" {HEDGE}", "" if parsed.kind.wants_list else " has")
        assert without != answer
        assert parsed.kind.wants_list or len(without) == len(answer)  # the length of a sentence does not tell
        assert judge.judge(parsed, answer).score == pytest.approx(judge.judge(parsed, without).score - 0.02)


@pytest.mark.parametrize(
    ("style", "hedged", "numbered"),
    [
        (Style.HELPFUL, 0.0, 0.82),
        (Style.AVERAGE, 1.0, 0.0),
        (Style.TERSE, 0.0, 0.0),
        (Style.EVASIVE, 0.0, 0.0),
        (Style.WRONG, 0.5, 0.5),
        (Style.RAMBLING, 0.0, 0.0),
    ],
)
def test_who_hedges_and_who_numbers_lists(hand_world: World, style: Style, hedged: float, numbered: float) -> None:
    answers = [_answer(hand_world, LIST, style, seed) for seed in range(400)]
    assert np.mean([HEDGE in answer for answer in answers]) == pytest.approx(hedged, abs=0.08)
    assert np.mean(["1." in answer for answer in answers]) == pytest.approx(numbered, abs=0.08)
    assert all(HEDGE not in answer or "1." not in answer for answer in answers)
