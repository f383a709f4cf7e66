"""Texts of the evaluation sets, against which mined queries are checked (DESIGN section 10)."""

import pyarrow as pa

from data_contracts.contract import Contract, not_blank, one_of, text

TEXT_KINDS = ("text", "term")


class EvaluationTexts(Contract):
    """One row per evaluation item; `source` is the file or split it came from.

    A `text` overlaps a query by its n-grams; a `term` (a name of the tiny world's dev and test splits) by occurring in it.
    """

    name = "evaluation_texts"
    schema = pa.schema([text("text_id"), text("source"), text("kind"), text("text")])
    key = "text_id"
    rules = (not_blank("text"), one_of("kind", TEXT_KINDS))
