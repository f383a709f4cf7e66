"""Queries mined from a vanilla model, and the ones that were turned away (ALMoST section 2.1, Appendix C.1)."""

from enum import StrEnum

import pyarrow as pa

from data_contracts.tables.arrow import compute as pc
from data_contracts.tables.contract import (
    Contract,
    Rule,
    at_least,
    boolean,
    finite,
    integer,
    not_blank,
    number,
    one_of,
    text,
)

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


class Queries(Contract):
    """Kept queries. `evaluation_overlap` is the decontamination verdict: null = clean against every set checked."""

    name = "queries"
    schema = pa.schema(
        [
            text("query_id"),
            text("query"),
            integer("attempt"),
            integer("seed"),
            text("nearest_query_id", nullable=True),
            number("nearest_rouge_l", nullable=True),
            boolean("decontamination_checked"),
            text("evaluation_overlap", nullable=True),
        ]
    )
    key = "query_id"
    rules = (
        not_blank("query"),
        finite("nearest_rouge_l"),
        at_least("attempt", 0),
        Rule("no kept query overlaps an evaluation set", lambda t: pc.is_null(t["evaluation_overlap"])),
    )


class RejectedQueries(Contract):
    """Turned-away generations with the reason; `evidence` is the bad word, the overlapping item or the defect."""

    name = "rejected_queries"
    schema = pa.schema(
        [
            text("rejection_id"),
            text("query"),
            integer("attempt"),
            integer("seed"),
            text("rejected_because"),
            text("evidence"),
            text("nearest_query_id", nullable=True),
            number("nearest_rouge_l", nullable=True),
        ]
    )
    key = "rejection_id"
    rules = (
        one_of("rejected_because", QueryRejection),
        Rule(
            "a duplicate names its nearest query",
            lambda t: pc.or_(
                pc.not_equal(t["rejected_because"], QueryRejection.DUPLICATE.value), pc.is_valid(t["nearest_query_id"])
            ),
        ),
    )
