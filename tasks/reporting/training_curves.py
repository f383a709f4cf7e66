"""Training curves as small inline pictures (SVG) for the report; no library, nothing to download."""

from collections.abc import Sequence
from html import escape

import pyarrow as pa

WIDTH, HEIGHT, MARGIN = 220, 70, 4
SHOWN = ("loss", "accuracy", "score", "validation_score", "kl", "response_tokens", "ended_share")


def curves(log: pa.Table) -> str:
    """One picture per metric worth watching, from the rows of a TrainingLog."""
    points: dict[str, list[tuple[int, float]]] = {}
    for row in log.to_pylist():
        points.setdefault(row["metric"], []).append((row["step"], row["value"]))
    return "".join(_figure(metric, sorted(points[metric])) for metric in SHOWN if metric in points)


def line(points: Sequence[tuple[float, float]]) -> str:
    """The points of a polyline that fills the picture: the lowest value at the bottom, the first step at the left."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return " ".join(f"{_place(x, xs, WIDTH):.1f},{HEIGHT - _place(y, ys, HEIGHT):.1f}" for x, y in points)


def _place(value: float, among: Sequence[float], length: int) -> float:
    low, high = min(among), max(among)
    share = (value - low) / (high - low) if high > low else 0.5
    return MARGIN + share * (length - 2 * MARGIN)


def _figure(metric: str, points: Sequence[tuple[int, float]]) -> str:
    first, last = points[0][1], points[-1][1]
    caption = f"{metric}: {first:.4g} → {last:.4g} in {len(points):,} steps"
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">'
        f'<polyline points="{line(points)}"/></svg><figcaption>{escape(caption)}</figcaption></figure>'
    )
