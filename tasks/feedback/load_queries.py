"""One's own queries in place of mined ones (`use.queries`; not in the paper).

All of them are used, whatever words they hold, but for those that stand in the file or in an earlier publication before,
and those that overlap an evaluation set: these are turned away with the reason, as mined ones are.
"""

from pathlib import Path
from typing import Any

from data_contracts.config.mining import Mining
from data_contracts.errors import EmptyResultError
from data_contracts.handles import FileHandle
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.tables.evaluation_texts import EvaluationText
from data_contracts.tables.mined_lines import MinedLine
from data_contracts.tables.queries import EARLIER_ID, Query, QueryRejection, RejectedQuery
from models.text.given_queries import FIELD, read_given_queries
from tasks.feedback.evaluation_overlap import overlap_index
from tasks.feedback.mined_queries import MinedQueries
from tasks.runtime.phases import Phase
from tasks.runtime.step import step


@step(version="2", phase=Phase.QUERIES)
def load_queries(
    *, file: FileHandle, evaluation_texts: Rows[EvaluationText], mining: Mining, earlier: Rows[Query] | None = None
) -> MinedQueries:
    """The queries of a file as if they had been mined; `attempt` is the place in the file.

    Raises:
        EmptyResultError: not one could be used.
    """
    evaluation = overlap_index(evaluation_texts, mining)
    known = {query.query: f"{EARLIER_ID}{query.query_id}" for query in earlier or ()}
    kept: list[Query] = []
    rejected: list[RejectedQuery] = []
    for place, text in enumerate(read_given_queries(Path(file.path))):
        common: dict[str, Any] = {"query": text, "attempt": place, "seed": 0, "nearest_query_id": known.get(text)}
        common["nearest_rouge_l"] = 1.0 if text in known else None
        found = evaluation.find(text)
        reason = QueryRejection.DUPLICATE if text in known else None
        if reason is None and found.kind is not None:
            reason = QueryRejection.EVALUATION_OVERLAP
        if reason is not None:
            evidence = found.name or "" if reason is QueryRejection.EVALUATION_OVERLAP else ""
            rejected.append(
                RejectedQuery(rejection_id=f"r{place:07d}", rejected_because=reason, evidence=evidence, **common)
            )
            continue
        known[text] = query_id = f"q{place:07d}"
        checked = len(evaluation) > 0
        kept.append(Query(query_id=query_id, decontamination_checked=checked, evaluation_overlap=None, **common))
    if not kept:
        reasons = sorted({row.rejected_because for row in rejected})
        raise EmptyResultError(
            f"{FIELD}: none of the {len(rejected):,} queries of {file.name} is left ({', '.join(reasons)})"
        )
    return MinedQueries(
        queries=rows_of(Query, kept), rejected=rows_of(RejectedQuery, rejected), lines=rows_of(MinedLine, [])
    )
