"""Decontamination for people: per evaluation set, the queries that overlap it and how near the others come."""

from collections import defaultdict
from collections.abc import Iterable

from data_contracts.tables.evaluation_texts import OVERLAP, ContaminationVerdict
from models.evaluation.paper_tables import PaperTable

COLUMNS = ("queries dropped", "in use although they overlap", "clean queries nearest to it", "nearest of them")
TOP = 60  # characters of a query


def contamination_table(verdicts: Iterable[ContaminationVerdict]) -> PaperTable | None:
    """One row per set that some query overlaps or comes near; None where nothing was compared."""
    asked = [verdict for verdict in verdicts if verdict.texts_checked]
    if not asked:
        return None
    by_set: dict[str, list[ContaminationVerdict]] = defaultdict(list)
    for verdict in asked:
        by_set[verdict.matched_set or "(none)"].append(verdict)
    body = []
    for name, own in sorted(by_set.items()):
        overlapping = [one for one in own if one.verdict == OVERLAP]
        clean = [one for one in own if one.verdict != OVERLAP]
        nearest = max(clean, key=lambda one: one.score or 0.0, default=None)
        told = f"{nearest.score:.2f}: {_cut(nearest.query)}" if nearest and nearest.score else ""
        in_use = sum(one.kept for one in overlapping)
        body.append((name, str(len(overlapping) - in_use), str(in_use), str(len(clean)), told))
    sets, texts = asked[0].sets_checked, asked[0].texts_checked
    title = f"Decontamination: {len(asked):,} queries against {texts:,} texts of {sets} evaluation sets"
    return PaperTable(title, COLUMNS, tuple(body))


def _cut(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= TOP else one_line[: TOP - 1] + "…"
