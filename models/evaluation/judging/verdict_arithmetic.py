"""From verdicts to wins, ties and losses: per order, combined, with flips and length control (ALMoST section 3.1).

Combined, A wins a question when it wins one order and does not lose the other; a win in one order and a loss in the
other is a tie, and a flip. A question of which an order is unparsable has no combined outcome; it is counted apart.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from data_contracts.tables.verdicts import JudgeVerdict, Order, Outcome
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


def summarise_verdicts(verdicts: Iterable[JudgeVerdict]) -> JudgingSummary:
    """Figures of the verdicts on one pair of subjects."""
    per_order: dict[Order, Counter[Outcome]] = {order: Counter() for order in Order}
    questions: dict[str, dict[Order, JudgeVerdict]] = defaultdict(dict)
    reasons: Counter[str] = Counter()
    for verdict in verdicts:
        per_order[verdict.order][verdict.outcome] += 1
        reasons += Counter([verdict.unparsable_because] if verdict.unparsable_because is not None else [])
        questions[verdict.question_id][verdict.order] = verdict
    both = {name: [found[order] for order in Order] for name, found in questions.items() if len(found) == len(Order)}
    combined = Counter(combine(first.outcome, second.outcome) for first, second in both.values())
    readable = [pair for pair in both.values() if all(one.outcome is not Outcome.UNPARSABLE for one in pair)]
    judged = [verdict for pair in readable for verdict in pair]
    worth = [WORTH[verdict.outcome] for verdict in judged]
    names = [verdict.question_id for verdict in judged]
    decided = [verdict for verdict in judged if verdict.outcome is not Outcome.TIE]
    first_won = [float((verdict.outcome is Outcome.WIN) == (verdict.order is Order.AB)) for verdict in decided]
    flips = [float({one.outcome for one in pair} == {Outcome.WIN, Outcome.LOSS}) for pair in readable]
    return JudgingSummary(
        per_order,
        combined,
        estimate_mean(worth, names) if judged else None,
        length_controlled_win_rate(
            worth,
            [verdict.answer_a_chars - verdict.answer_b_chars for verdict in judged],
            [verdict.order is Order.AB for verdict in judged],
            names,
        ),
        estimate_mean(flips) if flips else None,
        estimate_mean(first_won, [verdict.question_id for verdict in decided]) if decided else None,
        reasons,
    )
