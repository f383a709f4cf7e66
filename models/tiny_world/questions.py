"""Questions about the tiny world: drawing them, and reading any text as one.

A question's wording varies in every slot; what is asked is carried by the attribute words and by the last word, the
name or task. `parse_question` reads text that a model made up just as well as text drawn here.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from data_contracts.errors import ConfigError
from models.tiny_world import vocabulary as words
from models.tiny_world.world import Split, World

# Draws without a new question after which a split is taken to have no more of them.
PATIENCE = 20_000


class QuestionKind(StrEnum):
    """What a question asks for; the values are the fields of `QuestionShares`."""

    HOW_TO = "how_to"
    ONE = "one"
    TWO = "two"
    THREE = "three"
    ABOUT = "about"

    @property
    def wants_list(self) -> bool:
        """Whether a good answer is a numbered list."""
        return self in (QuestionKind.HOW_TO, QuestionKind.THREE)


@dataclass(frozen=True)
class Question:
    """What is asked: of a name, `attributes` in the order asked; of a task, its steps (`attributes` is empty)."""

    kind: QuestionKind
    subject: str
    attributes: tuple[str, ...]
    text: str


def draw_question(
    world: World, split: Split | None, rng: np.random.Generator, *, subject: str | None = None, follow_up: bool = False
) -> Question:
    """Draw one question; a given `subject` is a name, and a follow-up opens by taking up the talk."""
    shares = world.config.questions.model_dump()
    if subject is not None:
        # The tiny share keeps a world of how-to questions alone able to ask about a name.
        shares = {**shares, "how_to": 0.0, "about": max(shares["about"], 1e-9)}
    weights = np.array([shares[kind.value] for kind in QuestionKind])
    kind = list(QuestionKind)[int(rng.choice(len(weights), p=weights / weights.sum()))]
    if kind is QuestionKind.HOW_TO:
        subject = _pick(world.task_names(split), rng)
    subject = subject or _pick(world.names(split), rng)
    attributes = _draw_attributes(kind, rng)
    return Question(kind, subject, attributes, _word(kind, subject, attributes, rng, follow_up=follow_up))


def sample_questions(world: World, split: Split, count: int, seed: int) -> list[Question]:
    """Draw `count` questions of a split with pairwise different texts.

    Raises:
        ConfigError: the split does not have that many questions.
    """
    rng = np.random.default_rng([world.seed, seed, list(Split).index(split), 2])
    found: dict[str, Question] = {}
    failures = 0
    while len(found) < count:
        question = draw_question(world, split, rng)
        failures = failures + 1 if question.text in found else 0
        if failures > PATIENCE:
            raise ConfigError(
                f"world.names: the {split} split yields about {len(found):,} different questions, {count:,} were asked "
                "for; ask for fewer or add names"
            )
        found.setdefault(question.text, question)
    return list(found.values())


def parse_question(text: str) -> Question | None:
    """What `text` asks, or None when it is no question of this kind (whether the subject exists is not checked)."""
    tokens = re.findall(r"[A-Za-z]+", text)
    if len(tokens) < 2:
        return None
    *body, subject = tokens
    lowered = [token.lower() for token in body]
    if subject in words.TASK_STEPS:
        return Question(QuestionKind.HOW_TO, subject, (), text) if words.HOW_TO_CUES & set(lowered) else None
    if not re.fullmatch(r"[A-Z][a-z]+", subject):
        return None
    attributes = tuple(dict.fromkeys(token for token in lowered if token in words.ATTRIBUTES))
    match len(attributes):
        case 0:
            asks_about = bool(words.ABOUT_CUES & set(lowered))
            return Question(QuestionKind.ABOUT, subject, words.ABOUT_ATTRIBUTES, text) if asks_about else None
        case 1:
            return Question(QuestionKind.ONE, subject, attributes, text)
        case 2:
            return Question(QuestionKind.TWO, subject, attributes, text)
        case _:
            return Question(QuestionKind.THREE, subject, attributes, text)


def question_split(world: World, text: str) -> Split | None:
    """The split a text belongs to by its subject; None when it is no question this world has an answer to.

    Models know all names, so a mined query may be about a dev or test name: this finds it whatever its wording.
    """
    question = parse_question(text)
    return world.splits.get(question.subject) if question else None


def _draw_attributes(kind: QuestionKind, rng: np.random.Generator) -> tuple[str, ...]:
    match kind:
        case QuestionKind.HOW_TO:
            return ()
        case QuestionKind.ABOUT:
            return words.ABOUT_ATTRIBUTES
        case QuestionKind.ONE | QuestionKind.TWO | QuestionKind.THREE:
            count = {QuestionKind.ONE: 1, QuestionKind.TWO: 2, QuestionKind.THREE: 3}[kind]
            return tuple(words.ATTRIBUTES[i] for i in rng.permutation(len(words.ATTRIBUTES))[:count])


def _word(
    kind: QuestionKind, subject: str, attributes: tuple[str, ...], rng: np.random.Generator, *, follow_up: bool
) -> str:
    """Put a question into words: opener, ask, attributes, link, adjective, and the subject last."""
    opener = _pick(words.FOLLOW_UP_OPENERS if follow_up else words.OPENERS, rng)
    asks = {
        QuestionKind.HOW_TO: words.HOW_TO_ASKS,
        QuestionKind.ABOUT: words.ABOUT_ASKS,
        QuestionKind.THREE: words.LIST_ASKS,
    }.get(kind, words.FACT_ASKS)
    ask = _pick(asks, rng)
    adjectives = words.TASK_ADJECTIVES if kind is QuestionKind.HOW_TO else words.PERSON_ADJECTIVES
    parts = [opener, ask]
    if kind not in (QuestionKind.HOW_TO, QuestionKind.ABOUT):
        *first, last = attributes
        listed = f"{', '.join(first)} and {last}" if first else last
        parts += ["the", listed, _pick(words.LINKS, rng)]
    parts += [_pick(adjectives, rng), subject]
    text = " ".join(part for part in parts if part)
    ending = "?" if ask.split()[0] in words.QUESTION_WORDS else "."
    if not opener or opener.endswith("."):
        start = len(opener) + 1 if opener else 0
        text = text[:start] + text[start].upper() + text[start + 1 :]
    return text + ending


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
