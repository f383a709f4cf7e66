"""Decontamination for people: per evaluation set, the queries that overlap it and how near the others come."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from models.evaluation.paper_tables import PaperTable

OVERLAP = "overlap"
COLUMNS = ("queries dropped", "in use although they overlap", "clean queries nearest to it", "nearest of them")
TOP = 60  # characters of a query


def contamination_table(rows: Iterable[dict[str, Any]]) -> PaperTable | None:
    """One row per set that some query overlaps or comes near; None where nothing was compared."""
    asked = [row for row in rows if row["texts_checked"]]
    if not asked:
        return None
    by_set: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in asked:
        by_set[row["matched_set"] or "(none)"].append(row)
    body = []
    for name, own in sorted(by_set.items()):
        overlapping = [row for row in own if row["verdict"] == OVERLAP]
        clean = [row for row in own if row["verdict"] != OVERLAP]
        nearest = max(clean, key=lambda row: row["score"], default=None)
        told = f"{nearest['score']:.2f}: {_cut(nearest['query'])}" if nearest and nearest["score"] else ""
        in_use = sum(row["kept"] for row in overlapping)
        body.append((name, str(len(overlapping) - in_use), str(in_use), str(len(clean)), told))
    sets, texts = asked[0]["sets_checked"], asked[0]["texts_checked"]
    title = f"Decontamination: {len(asked):,} queries against {texts:,} texts of {sets} evaluation sets"
    return PaperTable(title, COLUMNS, tuple(body))


def _cut(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= TOP else one_line[: TOP - 1] + "…"
