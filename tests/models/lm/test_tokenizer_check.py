"""The check before training: each fault is caught and named, and truncation is counted."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from data_contracts.conversation import Role, Turn
from data_contracts.errors import ConfigError
from models.lm.chat_template import CHAT_TEMPLATE, prepare_tokenizer, response_turn
from models.lm.tokenizer_check import TruncationCount, check_reads_last_token, check_tokenizer, fit_response

TALK = (Turn(Role.HUMAN, "Hi."), Turn(Role.ASSISTANT, "Hello."), Turn(Role.HUMAN, "Why?"))


@pytest.fixture
def tokenizer(tiny_llama_dir: Path):
    """The tiny tokenizer, prepared afresh."""
    loaded = AutoTokenizer.from_pretrained(tiny_llama_dir)
    prepare_tokenizer(loaded)
    return loaded


def test_a_good_tokenizer_passes(tokenizer) -> None:
    check_tokenizer(tokenizer, vocabulary_rows=len(tokenizer))


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (CHAT_TEMPLATE.replace(" + eos_token }}", " }}"), "end token"),
        (CHAT_TEMPLATE.replace("{%- endfor -%}", "{%- endfor -%}{{ '\\n' }}"), "end token"),
        (CHAT_TEMPLATE.replace("{{ bos_token }}", "{{ bos_token }}{{ bos_token }}"), "2 begin tokens"),
        (CHAT_TEMPLATE.replace("{{ bos_token }}", ""), "0 begin tokens"),
        (CHAT_TEMPLATE.replace("{{ '\\n\\nAssistant:' }}", "{{ '\\n\\nAssistant: ' }}"), "not a prefix"),
    ],
)
def test_a_bad_template_is_named(tokenizer, template: str, words: str) -> None:
    assert template != CHAT_TEMPLATE
    tokenizer.chat_template = template
    with pytest.raises(ConfigError, match=words):
        check_tokenizer(tokenizer)


def test_padding_that_equals_the_end_is_refused(tokenizer) -> None:
    tokenizer.pad_token = tokenizer.eos_token
    with pytest.raises(ConfigError, match="padding and end token are both id 2"):
        check_tokenizer(tokenizer)


def test_more_tokens_than_embedding_rows(tokenizer) -> None:
    with pytest.raises(ConfigError, match="embedding has 10 rows"):
        check_tokenizer(tokenizer, vocabulary_rows=10)


def test_added_tokens_get_rows_of_their_own(tokenizer) -> None:
    rows = tokenizer.vocab_size
    tokenizer.add_special_tokens({"additional_special_tokens": ["<new>"]})
    assert len(tokenizer) == rows + 1
    check_tokenizer(tokenizer, vocabulary_rows=rows)


def test_the_reward_model_reads_the_end_token() -> None:
    check_reads_last_token([1, 7, 2, 3, 3], pad_id=3, end_id=2)
    with pytest.raises(ConfigError, match="would read token 9"):
        check_reads_last_token([1, 7, 2, 9], pad_id=3, end_id=2)


def test_truncation_is_counted(tokenizer) -> None:
    count = TruncationCount()
    whole = len(response_turn(tokenizer, TALK, "So.").ids)
    last_only = len(response_turn(tokenizer, TALK[2:], "So.").ids)
    assert fit_response(tokenizer, TALK, ["So."], whole, count) == [response_turn(tokenizer, TALK, "So.")]
    trimmed = fit_response(tokenizer, TALK, ["So.", "No"], whole - 1, count)
    assert trimmed == [response_turn(tokenizer, TALK[2:], answer) for answer in ("So.", "No")]
    assert fit_response(tokenizer, TALK, ["So."], last_only - 1, count) is None
    assert count.metrics() == {
        "rows": 3.0,
        "rows_context_trimmed": 1.0,
        "turns_trimmed": 2.0,
        "rows_too_long_dropped": 1.0,
    }
