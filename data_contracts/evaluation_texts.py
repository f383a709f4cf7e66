"""Texts of the evaluation sets, against which mined queries are checked (DESIGN section 10)."""

import pyarrow as pa

from data_contracts.contract import Contract, not_blank, text


class EvaluationTexts(Contract):
    """One row per evaluation item; `source` is the file or split it came from."""

    name = "evaluation_texts"
    schema = pa.schema([text("text_id"), text("source"), text("text")])
    key = "text_id"
    rules = (not_blank("text"),)
