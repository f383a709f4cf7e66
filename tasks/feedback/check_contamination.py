"""A verdict on every mined query: does it overlap an evaluation set, and with which item? (DESIGN section 10)

Mining drops queries that overlap; this table says what was compared, how near the clean ones came, and what the dropped
ones overlapped. It asks the same index, so that any table of queries can be checked, whoever made it.
"""

import logging
from typing import Any

from data_contracts.config.mining import Mining
from data_contracts.store.artifact import Artifact
from data_contracts.tables.evaluation_texts import CLEAN, OVERLAP, UNCHECKED, ContaminationVerdict, EvaluationText
from data_contracts.tables.queries import Query, QueryRejection, RejectedQuery
from models.text.overlap import Overlap
from tasks.feedback.evaluation_overlap import overlap_index
from tasks.runtime.context import count
from tasks.runtime.step import step

log = logging.getLogger("almost.mining")


@step(version="1")
def check_contamination(
    queries: Artifact[Query],
    rejected: Artifact[RejectedQuery] | None,
    evaluation_texts: Artifact[EvaluationText],
    mining: Mining,
) -> Artifact[ContaminationVerdict]:
    """One row per kept query, and per query that was turned away for its overlap."""
    texts = read(EvaluationText, evaluation_texts)
    index = overlap_index(texts, mining)
    by_id = {row["text_id"]: row for row in texts.to_pylist()}
    checked = {"texts_checked": len(by_id), "sets_checked": len({row["source"] for row in by_id.values()})}
    asked = [(row["query_id"], row["query"], True) for row in read(Query, queries).to_pylist()]
    if rejected is not None:
        asked += [
            (row["rejection_id"], row["query"], False)
            for row in read(RejectedQuery, rejected).to_pylist()
            if row["rejected_because"] == QueryRejection.EVALUATION_OVERLAP
        ]
    rows = [
        {"query_id": name, "query": query, "kept": kept} | _verdict(index.find(query), by_id) | checked
        for name, query, kept in asked
    ]
    overlapping = sum(row["kept"] and row["verdict"] == OVERLAP for row in rows)
    if overlapping:
        log.warning("%s of the queries in use overlap an evaluation set; see their verdicts", overlapping)
    count(queries_checked=len(rows), overlapping_queries_in_use=overlapping, evaluation_texts=len(by_id))
    return write(ContaminationVerdict, ContaminationVerdict.from_rows(rows))


def _verdict(found: Overlap, texts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    matched = texts.get(found.name or "")
    return {
        "verdict": UNCHECKED if not texts else CLEAN if found.kind is None else OVERLAP,
        "overlap_kind": found.kind and found.kind.value,
        "matched_set": matched and matched["source"],
        "matched_text_id": matched and matched["text_id"],
        "matched_text": matched and matched["text"],
        "score": found.score if texts else None,
    }
