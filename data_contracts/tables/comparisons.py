"""Synthetic comparisons with one verdict per filter (ALMoST section 2.1).

Nothing is thrown away: a comparison that a filter turns down stays in the table with the reason.
"""

from enum import StrEnum

import pyarrow as pa

from data_contracts.tables.arrow import compute as pc
from data_contracts.tables.contract import Contract, Rule, boolean, finite, integer, number, one_of, text


class Verdict(StrEnum):
    """What one filter says of a comparison."""

    KEEP = "keep"
    DROP = "drop"
    NOT_JUDGED = "not_judged"


class DropReason(StrEnum):
    """Why a comparison does not reach the reward model; the first failing filter names it."""

    EMPTY = "empty_response"
    IDENTICAL = "identical"
    REFUSAL = "refusal"
    FILLER = "filler"
    SHAPE = "shape"
    SHORT_CHOSEN = "short_chosen"
    CHOSEN_BEFORE = "chosen_before"
    AS_IS_DISAGREES = "as_is_disagrees"


VERDICT_COLUMNS = ("verdict_words", "verdict_length", "verdict_pairing", "verdict_as_is")


def _kept_means_no_drop(table: pa.Table) -> pa.Array | pa.ChunkedArray:
    dropped = pc.equal(table[VERDICT_COLUMNS[0]], Verdict.DROP.value)
    for column in VERDICT_COLUMNS[1:]:
        dropped = pc.or_(dropped, pc.equal(table[column], Verdict.DROP.value))
    return pc.not_equal(table["kept"], dropped)


class Comparisons(Contract):
    """One row per ordered pair of the assumed ranking, verdicts of every filter beside it."""

    name = "comparisons"
    schema = pa.schema(
        [
            text("comparison_id"),
            text("query_id"),
            text("query"),
            text("chosen_response_id"),
            text("rejected_response_id"),
            text("chosen"),
            text("rejected"),
            text("chosen_responder"),
            text("rejected_responder"),
            integer("chosen_rank"),
            integer("rejected_rank"),
            text("verdict_words"),
            text("verdict_length"),
            text("verdict_pairing"),
            text("verdict_as_is"),
            number("length_mean", nullable=True),
            number("length_std", nullable=True),
            number("as_is_margin", nullable=True),
            boolean("kept"),
            text("dropped_because", nullable=True),
            text("evidence", nullable=True),
        ]
    )
    key = "comparison_id"
    rules = (
        Rule("chosen outranks rejected", lambda t: pc.less(t["chosen_rank"], t["rejected_rank"])),
        *(one_of(column, Verdict) for column in VERDICT_COLUMNS),
        one_of("dropped_because", DropReason),
        Rule("kept exactly when no filter drops", _kept_means_no_drop),
        Rule(
            "a dropped comparison has a reason",
            lambda t: pc.equal(t["kept"], pc.is_null(t["dropped_because"])),
        ),
        finite("as_is_margin"),
    )
