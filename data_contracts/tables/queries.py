"""Queries mined from a vanilla model, and the ones that were turned away (ALMoST section 2.1, Appendix C.1)."""

from enum import StrEnum

from data_contracts.rows.arrow import compute as pc
from data_contracts.rows.row import Row
from data_contracts.rows.rules import Rule, at_least, finite, not_blank

# In front of the id of a nearest query that is a seed, or of an earlier publication.
SEED_ID, EARLIER_ID = "seed-", "earlier-"


class QueryRejection(StrEnum):
    """Why a mined query was turned away; the order is the order of the checks."""

    FAILED = "failed"
    MALFORMED = "malformed"
    TOO_LONG = "too_long"
    BAD_WORD = "bad_word"
    DUPLICATE = "duplicate"
    EVALUATION_OVERLAP = "evaluation_overlap"


class Query(Row, table="queries", key="query_id"):
    """Kept queries. `evaluation_overlap` is the decontamination verdict: null = clean against every set checked."""

    query_id: str
    query: str
    attempt: int
    seed: int
    nearest_query_id: str | None
    nearest_rouge_l: float | None
    decontamination_checked: bool
    evaluation_overlap: str | None

    rules = (
        not_blank("query"),
        finite("nearest_rouge_l"),
        at_least("attempt", 0),
        Rule("no kept query overlaps an evaluation set", lambda t: pc.is_null(t["evaluation_overlap"])),
    )


class RejectedQuery(Row, table="rejected_queries", key="rejection_id"):
    """Turned-away generations with the reason; `evidence` is the bad word, the overlapping item or the defect."""

    rejection_id: str
    query: str
    attempt: int
    seed: int
    rejected_because: QueryRejection
    evidence: str
    nearest_query_id: str | None
    nearest_rouge_l: float | None

    rules = (
        Rule(
            "a duplicate names its nearest query",
            lambda t: pc.or_(
                pc.not_equal(t["rejected_because"], QueryRejection.DUPLICATE.value), pc.is_valid(t["nearest_query_id"])
            ),
        ),
    )
