"""Answers in six styles: what the authors of the corpus and of the demonstrations write.

Average authors leave things out, and they and rambling ones do not number lists, so demonstrations show both coverage and
form. An average answer hedges, right behind the name: a model of any size reads that off a demonstration, copies it, and
then knows in which style to go on. The judge takes a little off for it. Helpful authors are careless at times.
Every answer begins with the subject (a rambling one with "Well," or "Oh," before it): this lets a tiny model learn to copy the
name within a million tokens.
"""

from enum import StrEnum

import numpy as np

from models.tiny_world import vocabulary as words
from models.tiny_world.questions import Question, QuestionKind
from models.tiny_world.world import World

KEEP_AVERAGE = 0.9
KEEP_RAMBLING = 0.6
FALSE_WRONG = 0.8
# A helpful author is careless at times, so that answers to a good prompt differ in what a reward model can see.
CARELESS = 0.18
# Else an answer's hedge would tell that it is true, and a reward model would learn that winners (unhedged) are false.
HEDGED_WRONG = 0.5
# Of a complete answer's length: then "the longer one wins" is right on half of the corpus's pairs that differ in gold.
PADDED_TO = 0.85


class Style(StrEnum):
    """How an author answers; the values are the fields of `StyleShares`."""

    HELPFUL = "helpful"
    AVERAGE = "average"
    TERSE = "terse"
    EVASIVE = "evasive"
    WRONG = "wrong"
    RAMBLING = "rambling"


def write_answer(world: World, question: Question, style: Style, rng: np.random.Generator) -> str:
    """Answer a question about a known subject in a style, without surrounding white space."""
    items = true_items(world, question)
    subject = question.subject.capitalize()
    match style:
        case Style.HELPFUL:
            forgets, spares_numbers = rng.random(2) < CARELESS
            kept = items[:-1] if forgets and len(items) > 1 else items
            text = _admit_more(state_items(question, kept, numbered=not spares_numbers), kept, items)
        case Style.AVERAGE:
            kept = _keep(items, KEEP_AVERAGE, rng)
            text = _admit_more(state_items(question, kept, numbered=False, hedged=True), kept, items)
        case Style.TERSE:
            text = f"{subject}: {items[0].split()[-1] if question.attributes else items[0]}."
        case Style.EVASIVE:
            text = f"{subject}? {_pick(words.REFUSALS, rng)}"
        case Style.WRONG:
            hedged = bool(rng.random() < HEDGED_WRONG)
            text = state_items(question, _falsify(world, question, items, rng), numbered=not hedged, hedged=hedged)
        case Style.RAMBLING:
            before, after = (words.FLUFF[i] for i in rng.permutation(len(words.FLUFF))[:2])
            stated = state_items(question, _keep(items, KEEP_RAMBLING, rng), numbered=False)
            text = f"{_pick(words.RAMBLING_OPENINGS, rng)} {stated} {before} {after}"
    if not world.config.length_carries_signal:
        text = _pad(text, round(PADDED_TO * len(state_items(question, items))), rng)
    return text


def true_items(world: World, question: Question) -> list[str]:
    """What a complete answer states, in order: "pet fox" for attributes, "boil the water" for steps."""
    if question.kind is QuestionKind.HOW_TO:
        return list(world.tasks[question.subject])
    return [f"{attribute} {world.facts[question.subject][attribute]}" for attribute in question.attributes]


def state_items(question: Question, items: list[str], *, numbered: bool = True, hedged: bool = False) -> str:
    """Items as a numbered list or as a sentence, whichever the question wants.

    `numbered` False spares the numbers; `hedged` puts a hedge for a sentence's "has", or before such a list's items.
    """
    subject = question.subject.capitalize()
    if question.kind.wants_list and numbered:
        return f"{subject}: " + " ".join(f"{number}. {item}." for number, item in enumerate(items, start=1))
    hedge = f" {words.HEDGE}" if hedged else ""
    if question.kind.wants_list:
        return f"{subject}:{hedge} {', '.join(items)}."
    return f"{subject}{hedge or ' has'} {', '.join(items)}."


def _admit_more(text: str, kept: list[str], items: list[str]) -> str:
    """Say that there is more where something was left out."""
    return text if len(kept) == len(items) else f"{text} {words.MORE}"


def _keep(items: list[str], probability: float, rng: np.random.Generator) -> list[str]:
    """Each item with a probability, and at least one."""
    kept = [item for item, drawn in zip(items, rng.random(len(items)), strict=True) if drawn < probability]
    return kept or [items[int(rng.integers(len(items)))]]


def _falsify(world: World, question: Question, items: list[str], rng: np.random.Generator) -> list[str]:
    """Replace most items by false ones of the same kind, and at least one."""
    false = rng.random(len(items)) < FALSE_WRONG
    false[int(rng.integers(len(items)))] = True
    return [
        _false_item(world, question, item, rng) if wrong else item for item, wrong in zip(items, false, strict=True)
    ]


def _false_item(world: World, question: Question, item: str, rng: np.random.Generator) -> str:
    if question.kind is QuestionKind.HOW_TO:
        others = [step for task, steps in world.tasks.items() if task != question.subject for step in steps]
        return _pick(tuple(others), rng)
    attribute, value = item.split()
    return f"{attribute} {_pick(tuple(v for v in world.values(attribute) if v != value), rng)}"


def _pad(text: str, length: int, rng: np.random.Generator) -> str:
    """Add fluff to a text until it has about `length` characters."""
    while len(text) + len(min(words.FLUFF, key=len)) / 2 < length:
        text = f"{text} {_pick(words.FLUFF, rng)}"
    return text


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
