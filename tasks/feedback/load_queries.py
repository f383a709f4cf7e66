"""One's own queries in place of mined ones (`use.queries`; DESIGN section 9; not in the paper).

All of them are used, whatever words they hold, but for those that stand in the file or in an earlier publication before,
and those that overlap an evaluation set: these are turned away with the reason, as mined ones are.
"""

from pathlib import Path
from typing import Any

from data_contracts.config.mining import Mining
from data_contracts.errors import EmptyResultError
from data_contracts.handles import FileHandle
from data_contracts.store.artifact import Artifact
from data_contracts.tables.evaluation_texts import EvaluationText
from data_contracts.tables.mined_lines import MinedLine
from data_contracts.tables.queries import EARLIER_ID, Query, QueryRejection, RejectedQuery
from models.text.given_queries import FIELD, read_given_queries
from tasks.feedback.evaluation_overlap import overlap_index
from tasks.feedback.mined_queries import MinedQueries
from tasks.runtime.step import step


@step(version="1")
def load_queries(
    file: FileHandle,
    evaluation_texts: Artifact[EvaluationText],
    mining: Mining,
    earlier: Artifact[Query] | None = None,
) -> MinedQueries:
    """The queries of a file as if they had been mined; `attempt` is the place in the file.

    Raises:
        EmptyResultError: not one could be used.
    """
    evaluation = overlap_index(read(EvaluationText, evaluation_texts), mining)
    known: dict[str, str] = {}
    if earlier is not None:
        table = read(Query, earlier)
        pairs = zip(table["query"].to_pylist(), table["query_id"].to_pylist(), strict=True)
        known = {query: f"{EARLIER_ID}{query_id}" for query, query_id in pairs}
    kept: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    for place, text in enumerate(read_given_queries(Path(file.path))):
        common = {"query": text, "attempt": place, "seed": 0, "nearest_query_id": known.get(text)}
        common["nearest_rouge_l"] = 1.0 if text in known else None
        found = evaluation.find(text)
        reason = QueryRejection.DUPLICATE if text in known else None
        if reason is None and found.kind is not None:
            reason = QueryRejection.EVALUATION_OVERLAP
        if reason is not None:
            evidence = found.name or "" if reason is QueryRejection.EVALUATION_OVERLAP else ""
            rejected.append(
                common | {"rejection_id": f"r{place:07d}", "rejected_because": reason.value, "evidence": evidence}
            )
            continue
        known[text] = f"q{place:07d}"
        checked = {"decontamination_checked": len(evaluation) > 0, "evaluation_overlap": None}
        kept.append(common | checked | {"query_id": known[text]})
    if not kept:
        reasons = sorted({row["rejected_because"] for row in rejected})
        raise EmptyResultError(
            f"{FIELD}: none of the {len(rejected):,} queries of {file.name} is left ({', '.join(reasons)})"
        )
    return MinedQueries(
        queries=write(Query, Query.from_rows(kept)),
        rejected=write(RejectedQuery, RejectedQuery.from_rows(rejected)),
        lines=write(MinedLine, MinedLine.empty()),
    )
