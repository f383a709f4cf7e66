"""The gold judge on cases worked by hand. Mira: red, plum, smith, fox, Rome. Tovik: blue, rice, pilot, cat, Oslo."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.tiny_world import vocabulary as words
from models.tiny_world.judge import GoldJudge
from models.tiny_world.world import World

TWO = "What is the pet and job of Mira?"
LIST = "List the pet, job and town of Mira."
TEA = "How do I make tea?"

CASES = [
    # correct/asked x format x (1 - wrong/(2 stated)) - 0.1 fluff - 0.1 refusal - 0.02 hedged
    (TWO, "Mira has pet fox, job smith.", 1.0),
    (TWO, "Mira has pet fox, job baker.", 1 / 2 * (1 - 0.5 * 1 / 2)),
    (TWO, "Mira has pet fox. And more.", 0.5),
    (TWO, "Mira: fox.", 0.5),
    (TWO, "Mira has pet fox, job smith, town Rome.", 1.0),  # true, though not asked for
    (TWO, "Mira has pet fox, job smith, town Oslo.", 1.0 * (1 - 0.5 * 1 / 3)),
    (TWO, "Mira has pet fox, pet cat.", 1 / 2 * (1 - 0.5 * 1 / 2)),
    (TWO, "Well, Mira has pet fox, job smith. Time goes by. Let us see.", 0.8),
    (TWO, "Mira has pet fox, job smith", 0.9),  # cut off
    (TWO, "Mira? I don't know.", 0.1),
    (TWO, "Mira? I'm not sure. Time goes by.", 0.0),
    (TWO, "Mira has pet fox. I don't know.", 0.5 - 0.1),
    (TWO, "Tovik has pet cat, job pilot.", 0.0),  # true of Tovik, who was not asked about
    (TWO, "Mira has pet fox. Tovik has pet cat.", 1 / 2 * (1 - 0.5 * 1 / 2)),
    (TWO, "Mira has pet smith, job fox.", 0.0),
    (TWO, "", 0.0),
    (TWO, "Mira.", 0.0),
    (TWO, "Mira has pet fox, job smith. Mira has pet fox.", 1.0 - 0.1),  # said twice
    (TWO, "Mira has pet fox, pet fox, pet fox.", 0.5 - 0.2),
    (TWO, "Mira hmm pet fox, job smith.", 0.98),
    (TWO, "Mira hmm pet fox, job hmm smith.", 0.98),  # hedged twice
    (LIST, "Mira: 1. pet fox. 2. job smith. 3. town Rome.", 1.0),
    (LIST, "Mira has pet fox, job smith, town Rome.", 0.8),
    (LIST, "Mira: hmm pet fox, job smith. And more.", 2 / 3 * 0.8 - 0.02),
    (LIST, "Mira: pet fox. And more.", 1 / 3),  # a single item needs no number
    (LIST, "Mira: 1. pet fox. 2. job smith. 3. town", 2 / 3 * 0.9 - 0.1),  # what is left of a sentence states nothing
    (TEA, "Tea: 1. boil the water. 2. warm the pot. 3. steep the leaves.", 1.0),
    (TEA, "Tea: 1. warm the pot. 2. boil the water. 3. steep the leaves.", 2 / 3),
    (TEA, "Tea: 1. boil the water. 2. melt the sugar. 3. steep the leaves.", 2 / 3 * (1 - 0.5 * 1 / 3)),
    (TEA, "Tea: boil the water, warm the pot, steep the leaves.", 0.8),
]


@pytest.mark.parametrize(("question", "answer", "gold"), CASES)
def test_scores_worked_by_hand(hand_world: World, question: str, answer: str, gold: float) -> None:
    judgment = GoldJudge(hand_world).score(question, answer)
    assert judgment is not None
    assert judgment.score == pytest.approx(gold)
    assert (judgment.critique is None) == (gold == 1.0)


def test_what_was_found_is_told(hand_world: World) -> None:
    judgment = GoldJudge(hand_world).score(LIST, "Well, Mira hmm pet cat, job smith. Time goes by. I don't know.")
    assert judgment is not None
    assert (judgment.asked, judgment.correct, judgment.stated, judgment.wrong) == (3, 1, 2, 1)
    assert (judgment.fluff, judgment.refusal, judgment.format) == (1, True, 0.8)
    assert judgment.hedged
    assert judgment.critique == (
        "It refuses to answer. It is false that Mira has pet cat. It does not say town. It rambles. It hedges. "
        "It is badly formatted."
    )


@pytest.mark.parametrize(
    ("answer", "critique"),
    [
        ("Tea: 1. warm the pot. 2. boil the water. 3. steep the leaves.", "The steps are in the wrong order."),
        ("Jam: 1. boil the water. 2. warm the pot. 3. steep the leaves.", "It speaks of others than Tea."),
    ],
)
def test_critiques_of_steps(hand_world: World, answer: str, critique: str) -> None:
    judgment = GoldJudge(hand_world).score(TEA, answer)
    assert judgment is not None
    assert critique in (judgment.critique or "")


@pytest.mark.parametrize(
    "question", ["Hello.", "What is the pet of Nobod?", "How do I make rope?", "", "The pet of Mira is"]
)
def test_other_questions_are_not_judged(hand_world: World, question: str) -> None:
    assert GoldJudge(hand_world).score(question, "Mira has pet fox.") is None


_WORDS = [
    *words.ATTRIBUTES,
    "fox",
    "cat",
    "smith",
    "Mira",
    "Tovik",
    "has",
    "1.",
    "2.",
    ".",
    "I don't know.",
    "And more.",
]


@settings(max_examples=200, deadline=None)
@given(answer=st.one_of(st.text(max_size=80), st.lists(st.sampled_from(_WORDS), max_size=15).map(" ".join)))
def test_any_text_gets_a_score_between_zero_and_one(hand_world: World, answer: str) -> None:
    judgment = GoldJudge(hand_world).score(LIST, answer)
    assert judgment is not None
    assert 0.0 <= judgment.score <= 1.0
    assert judgment.wrong <= judgment.stated
    assert judgment.correct <= judgment.asked
