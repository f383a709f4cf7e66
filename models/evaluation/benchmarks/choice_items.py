"""Items of multiple choice by likelihood, and what their scores are worth (ALMoST Appendix E).

The option with the highest log-likelihood is the model's answer. When k options are equally likely and the correct one
is among them, the item counts 1/k, wherever the correct one stands.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data_contracts.tables.evaluations import EvaluatedItem, evaluated_item
from models.engines.protocol import Engine

if TYPE_CHECKING:
    from models.engines.option_scoring import OptionScore  # torch takes seconds to import

TIE = 1e-6  # nats; closer options are equally likely: float32 cannot tell them apart


@dataclass(frozen=True)
class Choice:
    """An option behind its context; `label` names it in tables when the option does not."""

    context: str
    option: str
    label: str | None = None


@dataclass(frozen=True)
class ChoiceItem:
    """One row of a benchmark: options, of which one is correct.

    `prefix` is what many items begin with (shots); the engine reads it once. With `greedy` there is one option, which
    counts when greedy decoding would write it.
    """

    item_id: str
    prompt: str
    choices: tuple[Choice, ...]
    correct: int
    group: str | None = None
    variant: str | None = None
    prefix: str = ""
    greedy: bool = False


def choice_value(scores: Sequence[float], correct: int, tie: float = TIE) -> float:
    """1 when the correct option is the likeliest, 1/k when k options share the first place with it, else 0."""
    best = max(scores)
    first = [place for place, score in enumerate(scores) if best - score <= tie]
    return 1.0 / len(first) if correct in first else 0.0


def score_items(engine: Engine, items: Sequence[ChoiceItem], benchmark: str, subject: str) -> list[EvaluatedItem]:
    """The items with their scores, in their order; what does not fit the engine's context is told, not cut.

    Items with the same prefix and group are read together, so that what they share is read once.
    """
    rows: dict[int, EvaluatedItem] = {}
    together: dict[tuple[str, str | None], list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        reason = _too_long(engine, item)
        if reason is None:
            together[item.prefix, item.group].append(place)
        else:
            rows[place] = _row(benchmark, subject, item, None, reason)
    for (prefix, _), places in together.items():
        asked = [(choice.context, [choice.option]) for place in places for choice in items[place].choices]
        scores = iter(engine.read_options(asked, prefix))
        for place in places:
            own = [next(scores)[0] for _ in items[place].choices]
            rows[place] = _row(benchmark, subject, items[place], own, None)
    return [rows[place] for place in range(len(items))]


def _too_long(engine: Engine, item: ChoiceItem) -> str | None:
    """Why the item does not fit, None when it does. A text has at most as many tokens as bytes, plus BOS."""
    limit = engine.context_length
    texts = {item.prefix + choice.context + choice.option for choice in item.choices}
    for text in sorted(texts, key=len, reverse=True):
        if len(text.encode()) + 1 > limit and (tokens := engine.count_tokens(text)) > limit:
            return f"{tokens:,} tokens, the model's context holds {limit:,}"
    return None


def _row(
    benchmark: str, subject: str, item: ChoiceItem, scores: "Sequence[OptionScore] | None", skipped: str | None
) -> EvaluatedItem:
    value = None
    if scores is not None:
        likely = [score.logprob for score in scores]
        greedy = scores[0].is_greedy
        value = choice_value(likely, item.correct) if not item.greedy else None if greedy is None else float(greedy)
        skipped = "the server does not tell what greedy decoding would write" if value is None else None
    return evaluated_item(
        benchmark,
        subject,
        item.item_id,
        item.prompt,
        "accuracy",
        value,
        group=item.group,
        variant=item.variant,
        options=tuple(choice.label or choice.option for choice in item.choices),
        option_scores=None if scores is None else tuple(score.logprob for score in scores),
        correct_option=item.correct,
        skipped_because=skipped,
    )
