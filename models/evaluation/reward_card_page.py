"""The reward-model card as Markdown, for the run page and beside the model."""

from models.evaluation.reward_card import RewardCard
from models.evaluation.statistics.intervals import Estimate

BARS = "▁▂▃▄▅▆▇█"


def card_page(card: RewardCard, title: str, kind: str = "held-out pairs") -> str:
    """The card as a page; `kind` says what pairs these are."""
    lines = [f"# {title}", ""]
    unflagged = "No flag raised, on" if card.enough_for_flags else "Too few pairs for a flag:"
    lines += [f"**Flag {name}**: {reason}." for name, reason in card.flags.items()] or [
        f"{unflagged} {card.pairs:,} pairs."
    ]
    lines += ["", f"| on {kind} | share | 95% | queries |", "|---|---|---|---|"]
    figures = {
        "accuracy": card.accuracy,
        "longer wins": card.longer_wins,
        "accuracy, answers of like length": card.matched,
        "longer wins, answers of like length": card.matched_longer_wins,
        "chooses the longer answer": card.chooses_longer,
    } | {f"agreement along {axis}": estimate for axis, estimate in card.axes.items()}
    lines += [_line(name, estimate) for name, estimate in figures.items() if estimate is not None]
    found = card.calibration
    hotness = "no temperature fits" if found.temperature is None else f"temperature {found.temperature:.2f}"
    lines += ["", f"{card.pairs:,} pairs; {card.flat_share:.1%} of the margins say nothing."]
    lines += [f"Calibration: ECE {found.ece:.3f}, Brier {found.brier:.3f}, {hotness}."]
    lines += ["", "| confidence | right | pairs |", "|---|---|---|"]
    lines += [f"| {place.confidence:.2f} | {place.accuracy:.2f} | {place.pairs:,} |" for place in found.curve]
    if card.histograms:
        lines += ["", f"Scores from {card.edges[0]:.2f} to {card.edges[-1]:.2f}:", ""]
        lines += ["| responder | mean | answers | scores |", "|---|---|---|---|"]
        lines += [f"| {n} | {h.mean:+.2f} | {h.answers:,} | {_bars(h.counts)} |" for n, h in card.histograms.items()]
    return "\n".join(lines) + "\n"


def ensemble_lines(figures: dict[str, float]) -> str:
    """What an ensemble adds to the page; nothing for a single reward model."""
    if not figures:
        return ""
    members = [figures[f"ensemble_accuracy_{n}"] for n in range(1, int(figures["ensemble_members"]) + 1)]
    accuracies = ", ".join(f"{accuracy:.3f}" for accuracy in members)
    learnt = [figures.get(f"ensemble_likelihood_weight_{number}") for number in range(1, len(members) + 1)]
    weights = ", ".join(f"{weight:+.2f}" for weight in learnt if weight is not None)
    return (
        f"\nEnsemble of {len(members)} reward models with accuracies {accuracies}; their scores of an answer spread by "
        f"{figures['ensemble_spread']:.2f}, and {figures['ensemble_split_pairs']:.1%} of the pairs split them."
        + (f" Their weights of the likelihood: {weights}.\n" if weights else "\n")
    )


def _line(name: str, estimate: Estimate) -> str:
    return f"| {name} | {estimate.value:.3f} | {estimate.low:.3f} to {estimate.high:.3f} | {estimate.items:,} |"


def _bars(counts: tuple[int, ...]) -> str:
    highest = max(counts) or 1
    return "".join(BARS[round(count / highest * (len(BARS) - 1))] for count in counts)
