"""The index of evaluation texts that mining turns queries away by, and that verdicts on queries come from."""

from collections.abc import Iterable

from data_contracts.config.mining import Mining
from data_contracts.tables.evaluation_texts import EvaluationText, TextKind
from models.text.overlap import OverlapIndex


def overlap_index(texts: Iterable[EvaluationText], mining: Mining) -> OverlapIndex:
    """An index of evaluation texts, as strict as the profile's mining section says."""
    kinds: dict[TextKind, list[tuple[str, str]]] = {kind: [] for kind in TextKind}
    for text in texts:
        kinds[text.kind].append((text.text_id, text.text))
    return OverlapIndex(
        kinds[TextKind.TEXT],
        mining.decontaminate_ngram,
        kinds[TextKind.TERM],
        kinds[TextKind.TEMPLATED],
        mining.decontaminate_contained,
    )
