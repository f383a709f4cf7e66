"""From verdicts to wins, ties and losses: per order, combined, with flips and length control (ALMoST section 3.1).

Combined, A wins a question when it wins one order and does not lose the other; a win in one order and a loss in the
other is a tie, and a flip. A question of which an order is unparsable has no combined outcome; it is counted apart.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from data_contracts.tables.verdicts import Order, Outcome
from models.evaluation.judging.length_control import length_controlled_win_rate
from models.evaluation.statistics.intervals import Estimate, estimate_mean

WORTH = {Outcome.WIN: 1.0, Outcome.TIE: 0.5, Outcome.LOSS: 0.0}


@dataclass(frozen=True)
class JudgingSummary:
    """Figures of one pair of subjects; rates are None where no question has two readable verdicts.

    `win_rate` counts a tie as half, over both orders; `flip_rate` is the share of questions whose winner changed with
    the order; `first_place` the share of decided verdicts that the answer read first won. `reasons` counts unparsable
    replies by why they are.
    """

    per_order: dict[Order, Counter[Outcome]]
    combined: Counter[Outcome]
    win_rate: Estimate | None
    length_controlled: Estimate | None
    flip_rate: Estimate | None
    first_place: Estimate | None
    reasons: Counter[str] = field(default_factory=Counter)


def outcome_of(score_a: float, score_b: float) -> Outcome:
    """A's outcome by scores."""
    return Outcome.WIN if score_a > score_b else Outcome.LOSS if score_a < score_b else Outcome.TIE


def combine(one: Outcome, other: Outcome) -> Outcome:
    """The outcome of a question from those of its two orders."""
    if Outcome.UNPARSABLE in (one, other):
        return Outcome.UNPARSABLE
    total = WORTH[one] + WORTH[other]
    return Outcome.WIN if total > 1 else Outcome.LOSS if total < 1 else Outcome.TIE


def summarise_verdicts(rows: Iterable[dict[str, Any]]) -> JudgingSummary:
    """Figures from rows of `Verdicts` of one pair of subjects."""
    per_order: dict[Order, Counter[Outcome]] = {order: Counter() for order in Order}
    questions: dict[str, dict[Order, dict[str, Any]]] = defaultdict(dict)
    reasons: Counter[str] = Counter()
    for row in rows:
        order, outcome = Order(row["order"]), Outcome(row["outcome"])
        per_order[order][outcome] += 1
        reasons += Counter([row["unparsable_because"]] if outcome is Outcome.UNPARSABLE else [])
        questions[row["question_id"]][order] = row
    both = {name: found for name, found in questions.items() if len(found) == len(Order)}
    outcomes = {name: [Outcome(found[order]["outcome"]) for order in Order] for name, found in both.items()}
    combined = Counter(combine(*pair) for pair in outcomes.values())
    readable = {name: pair for name, pair in outcomes.items() if Outcome.UNPARSABLE not in pair}
    judged = [(name, order, both[name][order]) for name in readable for order in Order]
    worth = [WORTH[Outcome(row["outcome"])] for _, _, row in judged]
    names = [name for name, _, _ in judged]
    decided = [
        (name, float((row["outcome"] == Outcome.WIN) == (order is Order.AB)))
        for name, order, row in judged
        if row["outcome"] != Outcome.TIE
    ]
    flips = [float({Outcome.WIN, Outcome.LOSS} == set(pair)) for pair in readable.values()]
    return JudgingSummary(
        per_order,
        combined,
        estimate_mean(worth, names) if judged else None,
        length_controlled_win_rate(
            worth,
            [row["answer_a_chars"] - row["answer_b_chars"] for _, _, row in judged],
            [order is Order.AB for _, order, _ in judged],
            names,
        ),
        estimate_mean(flips) if flips else None,
        estimate_mean([won for _, won in decided], [name for name, _ in decided]) if decided else None,
        reasons,
    )
