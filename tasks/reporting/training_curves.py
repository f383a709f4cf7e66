"""Training curves as small inline pictures (SVG) for the report; no library, nothing to download."""

from collections.abc import Iterable, Sequence
from html import escape

from data_contracts.tables.training_log import TrainingLogEntry

WIDTH, HEIGHT, MARGIN = 220, 70, 4
TITLES = {
    "loss": "Training loss",
    "accuracy": "Accuracy on the pairs of a batch",
    "score": "Reward-model score of the answers (log-odds)",
    "validation_score": "Reward-model score on validation prompts (log-odds)",
    "kl": "KL divergence from the start (nats per answer)",
    "response_tokens": "Length of the answers (tokens)",
    "ended_share": "Share of the answers that end by themselves",
}  # metric of a training log -> title of its curve; others have no curve


def curves(log: Iterable[TrainingLogEntry]) -> str:
    """One picture per metric worth watching."""
    points: dict[str, list[tuple[int, float]]] = {}
    for entry in log:
        points.setdefault(entry.metric, []).append((entry.step, entry.value))
    return "".join(_figure(TITLES[metric], sorted(points[metric])) for metric in TITLES if metric in points)


def line(points: Sequence[tuple[float, float]]) -> str:
    """The points of a polyline that fills the picture: the lowest value at the bottom, the first step at the left."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return " ".join(f"{_place(x, xs, WIDTH):.1f},{HEIGHT - _place(y, ys, HEIGHT):.1f}" for x, y in points)


def _place(value: float, among: Sequence[float], length: int) -> float:
    low, high = min(among), max(among)
    share = (value - low) / (high - low) if high > low else 0.5
    return MARGIN + share * (length - 2 * MARGIN)


def _figure(title: str, points: Sequence[tuple[int, float]]) -> str:
    first, last = points[0][1], points[-1][1]
    caption = f"{title}: {first:.4g} → {last:.4g} in {len(points):,} steps"
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">'
        f'<polyline points="{line(points)}"/></svg><figcaption>{escape(caption)}</figcaption></figure>'
    )
