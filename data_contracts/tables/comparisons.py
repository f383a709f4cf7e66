"""Synthetic comparisons with one verdict per filter (ALMoST section 2.1).

Nothing is thrown away: a comparison that a filter turns down stays in the table with the reason.
"""

from enum import StrEnum

import pyarrow as pa

from data_contracts.rows.arrow import compute as pc
from data_contracts.rows.row import Row, column
from data_contracts.rows.rules import Rule, finite


class FilterVerdict(StrEnum):
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
    dropped = pc.equal(table[VERDICT_COLUMNS[0]], FilterVerdict.DROP.value)
    for name in VERDICT_COLUMNS[1:]:
        dropped = pc.or_(dropped, pc.equal(table[name], FilterVerdict.DROP.value))
    return pc.not_equal(table["kept"], dropped)


class Comparison(Row, table="comparisons", key="comparison_id"):
    """One row per ordered pair of the assumed ranking, verdicts of every filter beside it."""

    comparison_id: str
    query_id: str
    query: str
    chosen_response_id: str
    rejected_response_id: str
    chosen: str
    rejected: str
    chosen_responder: str
    rejected_responder: str
    chosen_rank: int
    rejected_rank: int
    verdict_words: FilterVerdict = FilterVerdict.NOT_JUDGED
    verdict_length: FilterVerdict = FilterVerdict.NOT_JUDGED
    verdict_pairing: FilterVerdict = FilterVerdict.NOT_JUDGED
    verdict_as_is: FilterVerdict = FilterVerdict.NOT_JUDGED
    length_mean: float | None = None
    length_std: float | None = None
    as_is_margin: float | None = None
    dropped_because: DropReason | None = None
    evidence: str | None = None

    @column
    def kept(self) -> bool:
        """Whether no filter drops the comparison."""
        verdicts = (self.verdict_words, self.verdict_length, self.verdict_pairing, self.verdict_as_is)
        return FilterVerdict.DROP not in verdicts

    rules = (
        Rule("chosen outranks rejected", lambda t: pc.less(t["chosen_rank"], t["rejected_rank"])),
        Rule("kept exactly when no filter drops", _kept_means_no_drop),
        Rule(
            "a dropped comparison has a reason",
            lambda t: pc.equal(t["kept"], pc.is_null(t["dropped_because"])),
        ),
        finite("as_is_margin"),
    )
