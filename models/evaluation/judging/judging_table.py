"""A/B tests for people: wins, ties and losses per order and combined, rates with their intervals (ALMoST figure 3)."""

from data_contracts.tables.verdicts import Order, Outcome
from models.evaluation.judging.verdict_arithmetic import JudgingSummary
from models.evaluation.paper_tables import PaperTable
from models.evaluation.statistics.intervals import Estimate

COLUMNS = (
    "A first", "B first", "combined", "unparsable", "win rate", "at equal length", "flips", "first place wins"
)  # fmt: skip
REASONS, REASON_CHARS = 3, 60


def judging_table(summaries: dict[str, JudgingSummary]) -> PaperTable | None:
    """One row per pair `A against B`; counts are win/tie/loss of A, rates percentages with their interval of 95%."""
    if not summaries:
        return None
    rows = [
        (
            pair,
            _counts(found.per_order[Order.AB]),
            _counts(found.per_order[Order.BA]),
            _counts(found.combined),
            _unparsable(found),
            *map(_rate, (found.win_rate, found.length_controlled, found.flip_rate, found.first_place)),
        )
        for pair, found in summaries.items()
    ]
    return PaperTable("A/B tests, win/tie/loss of the first named", COLUMNS, tuple(rows))


def _counts(counted: dict[Outcome, int]) -> str:
    return "/".join(str(counted.get(outcome, 0)) for outcome in (Outcome.WIN, Outcome.TIE, Outcome.LOSS))


def _unparsable(found: JudgingSummary) -> str:
    """How many questions, and for what reasons replies were unreadable, the commonest first."""
    told = "; ".join(f"{number} x {_cut(reason)}" for reason, number in found.reasons.most_common(REASONS))
    return f"{found.combined[Outcome.UNPARSABLE]}" + (f" ({told})" if told else "")


def _cut(reason: str) -> str:
    return reason if len(reason) <= REASON_CHARS else f"{reason[: REASON_CHARS - 1]}…"


def _rate(estimate: Estimate | None) -> str:
    if estimate is None:
        return "not measured"
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"
