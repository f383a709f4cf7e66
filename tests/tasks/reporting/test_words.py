"""Whatever the tables call by a code has words."""

import pytest

from data_contracts.config.algorithm import Algorithm
from data_contracts.tables.comparisons import VERDICT_COLUMNS, DropReason, FilterVerdict
from data_contracts.tables.queries import QueryRejection
from tasks.reporting.words import (
    ALGORITHMS,
    DROPS,
    FILTERS,
    REJECTIONS,
    VERDICTS,
    code_in_words,
    model_in_words,
    reasons_in_words,
)


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (DropReason, DROPS),
        (QueryRejection, REJECTIONS),
        (FilterVerdict, VERDICTS),
        (VERDICT_COLUMNS, FILTERS),
        (Algorithm, ALGORITHMS),
    ],
)
def test_every_code_has_words_of_its_own(codes: tuple[str, ...], words: dict[str, str]):
    assert set(words) == set(codes)
    assert len(set(words.values())) == len(words)
    assert not any("_" in text for text in words.values())


def test_words_by_hand():
    assert reasons_in_words({"too_long": 1, "malformed": 2_000, "failed": 1}, REJECTIONS) == (
        "2,000 malformed, 1 too long, 1 the model server failed"
    )
    assert model_in_words("ppo") == "the PPO model"
    assert model_in_words("llama-3.1_base") == "llama-3.1_base", "a model's own name stays as it is"
    assert code_in_words("off_topic") == "off topic"
