"""Texts of the evaluation sets, and each mined query's verdict against them."""

from enum import StrEnum

from data_contracts.rows.arrow import compute as pc
from data_contracts.rows.row import Row
from data_contracts.rows.rules import Rule, at_least, finite, not_blank

OVERLAP, CLEAN, UNCHECKED = VERDICTS = ("overlap", "clean", "unchecked")


OVERLAP_KINDS = ("term", "exact", "ngram", "contained")


DATASET_PART = "dataset_part"  # of a data set by name: column with its configuration's or folder's name, no text of it


class TextKind(StrEnum):
    """How an evaluation text may overlap a query: see `EvaluationText`."""

    TEXT = "text"
    TEMPLATED = "templated"
    TERM = "term"


class OverlapKind(StrEnum):
    """By what a query overlaps an evaluation text."""

    TERM = "term"
    EXACT = "exact"
    NGRAM = "ngram"
    CONTAINED = "contained"


class Contamination(StrEnum):
    """The verdict on a query: it overlaps an evaluation text, it does not, or there was no text to compare with."""

    OVERLAP = "overlap"
    CLEAN = "clean"
    UNCHECKED = "unchecked"


class EvaluationText(Row, table="evaluation_texts", key="text_id", version=2):
    """One row per evaluation item; `source` is the set it belongs to.

    A `text` overlaps a query by its words; so does a `templated` one (the tiny world's questions), except by being
    contained; a `term` (a name of the tiny world's dev and test splits) by occurring in it.
    """

    text_id: str
    source: str
    kind: TextKind
    text: str

    rules = (not_blank("text"),)


class ContaminationVerdict(Row, table="contamination_verdicts", key="query_id"):
    """One row per query that reached the check: those kept, and those turned away for their overlap.

    `overlap_kind` says by what it overlaps; `matched_*` is the evaluation text it overlaps, or of a clean query the
    nearest one, if any shares three words in a row. `score` lies in [0, 1]; see `models/text/overlap.py`. Where a run has no
    evaluation set (`texts_checked` 0) the verdict is `unchecked`.
    """

    query_id: str
    query: str
    kept: bool
    verdict: Contamination
    overlap_kind: OverlapKind | None
    matched_set: str | None
    matched_text_id: str | None
    matched_text: str | None
    score: float | None
    sets_checked: int
    texts_checked: int

    rules = (
        finite("score"),
        at_least("score", 0),
        Rule(
            "an overlap says by what, and with which text",
            lambda t: pc.equal(
                pc.equal(t["verdict"], Contamination.OVERLAP.value),
                pc.and_(pc.is_valid(t["overlap_kind"]), pc.is_valid(t["matched_text_id"])),
            ),
        ),
        Rule(
            "unchecked exactly when there was no text",
            lambda t: pc.equal(pc.equal(t["verdict"], Contamination.UNCHECKED.value), pc.equal(t["texts_checked"], 0)),
        ),
    )
