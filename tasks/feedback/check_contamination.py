"""A verdict on every mined query: does it overlap an evaluation set, and with which item?

Mining drops queries that overlap; this table says what was compared, how near the clean ones came, and what the dropped
ones overlapped. It asks the same index, so that any table of queries can be checked, whoever made it.
"""

import logging

from data_contracts.config.mining import Mining
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.tables.evaluation_texts import Contamination, ContaminationVerdict, EvaluationText
from data_contracts.tables.queries import Query, QueryRejection, RejectedQuery
from tasks.feedback.evaluation_overlap import overlap_index
from tasks.runtime.context import count
from tasks.runtime.phases import Phase
from tasks.runtime.step import step

log = logging.getLogger("almost.mining")


@step(version="2", phase=Phase.QUERIES)
def check_contamination(
    *,
    queries: Rows[Query],
    rejected: Rows[RejectedQuery] | None,
    evaluation_texts: Rows[EvaluationText],
    mining: Mining,
) -> Rows[ContaminationVerdict]:
    """One row per kept query, and per query that was turned away for its overlap."""
    texts = {text.text_id: text for text in evaluation_texts}
    index, sets = overlap_index(texts.values(), mining), len({text.source for text in texts.values()})

    def verdict(query_id: str, query: str, kept: bool) -> ContaminationVerdict:
        found = index.find(query)
        matched = texts.get(found.name or "")
        return ContaminationVerdict(
            query_id=query_id,
            query=query,
            kept=kept,
            verdict=_verdict(bool(texts), found.kind is not None),
            overlap_kind=found.kind,
            matched_set=matched and matched.source,
            matched_text_id=matched and matched.text_id,
            matched_text=matched and matched.text,
            score=found.score if texts else None,
            sets_checked=sets,
            texts_checked=len(texts),
        )

    verdicts = [verdict(query.query_id, query.query, True) for query in queries]
    verdicts += [
        verdict(query.rejection_id, query.query, False)
        for query in rejected or ()
        if query.rejected_because is QueryRejection.EVALUATION_OVERLAP
    ]
    overlapping = sum(row.kept and row.verdict is Contamination.OVERLAP for row in verdicts)
    if overlapping:
        log.warning("%s of the queries in use overlap an evaluation set; see their verdicts", overlapping)
    count(queries_checked=len(verdicts), overlapping_queries_in_use=overlapping, evaluation_texts=len(texts))
    return rows_of(ContaminationVerdict, verdicts)


def _verdict(any_texts: bool, overlaps: bool) -> Contamination:
    if not any_texts:
        return Contamination.UNCHECKED
    return Contamination.OVERLAP if overlaps else Contamination.CLEAN
