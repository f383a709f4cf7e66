"""Stop strings and token texts."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from models.lm.token_rows import SharedRows, encode_rows, share_prefix
from models.lm.vocabulary import StopStrings, Vocabulary
from tests.models.engines.model_folders import make_tokenizer

CPU = torch.device("cpu")


@given(
    st.lists(st.text("ab\n:", min_size=1, max_size=4), min_size=1, max_size=12),
    st.text("ab\n:", min_size=1, max_size=5),
)
def test_a_stop_string_is_noticed_at_the_token_that_completes_it(tokens: list[str], stop: str) -> None:
    stops = StopStrings([stop], tokens, CPU)
    for place in range(len(tokens)):
        before, now = "".join(tokens[:place]), "".join(tokens[: place + 1])
        if stop in now and stop not in before:
            assert stops.completing[place]
            assert stops.cut(now) == now[: now.find(stop)]
    assert stops.cut("") is None


def test_the_earliest_stop_string_cuts() -> None:
    stops = StopStrings(("\nHuman:", "\n"), [], CPU)
    assert stops.cut("one\ntwo\nHuman:") == "one"
    assert stops.cut("one") is None


def test_token_texts_spell_the_text() -> None:
    tokenizer = make_tokenizer()
    vocabulary = Vocabulary(tokenizer, 403, (2,), CPU)
    ids = encode_rows(tokenizer, ["Human: who sings\n\nin the garden?"])[0]
    assert ids[0] == tokenizer.bos_token_id
    assert "".join(vocabulary.token_texts[token] for token in ids[1:]) == "Human: who sings\n\nin the garden?"
    assert vocabulary.token_texts[-3:] == [""] * 3
    assert vocabulary.text([*ids, 2]) == "Human: who sings\n\nin the garden?"
    assert vocabulary.is_end.nonzero().flatten().tolist() == [2]


def test_rows_share_what_they_have_in_common_but_not_their_last_token() -> None:
    assert share_prefix([[1, 5, 6, 7], [1, 5, 8]]) == SharedRows([1, 5], [[6, 7], [8]])
    assert share_prefix([[1, 5, 6]]) == SharedRows([1, 5], [[6]])
    assert share_prefix([[1, 5, 6, 7], [1, 5, 6, 8]], prefix=[1, 5]) == SharedRows([1, 5], [[6, 7], [6, 8]])
    assert share_prefix([[1]]) == SharedRows([], [[1]])
