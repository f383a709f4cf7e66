"""The index of evaluation texts that mining turns queries away by, and that verdicts on queries come from."""

import pyarrow as pa

from data_contracts.config.mining import Mining
from data_contracts.tables.evaluation_texts import TEXT_KINDS
from models.text.overlap import OverlapIndex


def overlap_index(texts: pa.Table, mining: Mining) -> OverlapIndex:
    """An index of the rows of `EvaluationTexts`, as strict as the profile's mining section says."""
    rows = texts.to_pylist()
    kinds = {kind: [(row["text_id"], row["text"]) for row in rows if row["kind"] == kind] for kind in TEXT_KINDS}
    return OverlapIndex(
        kinds["text"], mining.decontaminate_ngram, kinds["term"], kinds["templated"], mining.decontaminate_contained
    )
