"""Words for what the tables call by a code: reasons, filters, models."""

from enum import StrEnum

from data_contracts.config.algorithm import ALGORITHMS
from data_contracts.tables.comparisons import DropReason, FilterVerdict
from data_contracts.tables.queries import QueryRejection

REJECTIONS: dict[str, str] = {
    QueryRejection.FAILED: "the model server failed",
    QueryRejection.MALFORMED: "malformed",
    QueryRejection.TOO_LONG: "too long",
    QueryRejection.BAD_WORD: "with a forbidden word",
    QueryRejection.DUPLICATE: "too similar to an earlier query",
    QueryRejection.EVALUATION_OVERLAP: "overlapping an evaluation text",
}
DROPS: dict[str, str] = {
    DropReason.EMPTY: "empty answer",
    DropReason.IDENTICAL: "identical answers",
    DropReason.REFUSAL: "refusal",
    DropReason.FILLER: "filler at the beginning",
    DropReason.SHAPE: "malformed answer",
    DropReason.SHORT_CHOSEN: "chosen answer too short",
    DropReason.CHOSEN_BEFORE: "chosen answer paired already",
    DropReason.AS_IS_DISAGREES: "as-is reward model disagrees",
}
VERDICTS: dict[str, str] = {
    FilterVerdict.KEEP: "keeps it",
    FilterVerdict.DROP: "drops it",
    FilterVerdict.NOT_JUDGED: "did not judge it",
}
FILTERS = {
    "verdict_words": "word filter",
    "verdict_length": "length filter",
    "verdict_pairing": "pairing filter",
    "verdict_as_is": "as-is reward model",
}  # column of a comparison -> who gave the verdict
MODELS = {
    "base": "the base model",
    "sft": "the SFT model",
    "reward": "the reward model",
    "as_is": "the as-is reward model",
    "judge": "the judge",
    **{name: f"the {title} model" for name, title in ALGORITHMS.items()},
}  # subject of an evaluation -> the model in words; others go by their own name


def model_in_words(subject: str) -> str:
    """A subject of an evaluation in words."""
    return MODELS.get(subject, subject)


def reasons_in_words(reasons: dict[str, int], words: dict[str, str]) -> str:
    """`3 too long, 1 malformed`: how often each reason was given, the most frequent first."""
    ordered = sorted(reasons.items(), key=lambda entry: -entry[1])
    return ", ".join(f"{number:,} {words[reason]}" for reason, number in ordered)


def code_in_words(code: StrEnum | str) -> str:
    """A code without words of its own: `off_topic` as `off topic`."""
    return str(code).replace("_", " ")
