"""The tokenizer: nothing is lost, cuts at the markers change nothing, plain transformers loads it."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from models.tiny_world.corpus import write_corpus
from models.tiny_world.seeds_and_prompts import prompt_files
from models.tiny_world.tokenizer import MARKERS, save_tokenizer, train_tokenizer
from models.tiny_world.world import World


@pytest.fixture(scope="session")
def texts(small_world: World) -> list[str]:
    return [row.text for row in write_corpus(small_world)]


@pytest.fixture(scope="session")
def tokenizer(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(train_tokenizer(texts, 900), folder)
    return AutoTokenizer.from_pretrained(folder)


def _ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_special_tokens_and_markers(tokenizer: PreTrainedTokenizerFast) -> None:
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert len(tokenizer) == 900
    for marker in MARKERS:
        assert len(_ids(tokenizer, marker)) == 1
        assert tokenizer.decode(_ids(tokenizer, marker), skip_special_tokens=True) == marker
    ids = tokenizer("Human: hi")["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.eos_token_id not in ids


def test_documents_survive_the_round_trip(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> None:
    for text in texts:
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_survives_the_round_trip(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    for special in ("<pad>", "<s>", "</s>"):
        text = text.replace(special, "")
    assert tokenizer.decode(_ids(tokenizer, text), skip_special_tokens=True) == text


def test_a_prompt_in_pieces_has_the_tokens_of_the_whole(
    tokenizer: PreTrainedTokenizerFast, texts: list[str], small_world: World
) -> None:
    whole = [text for text in (*texts, *prompt_files(small_world, 1).values()) if "-----\n\nHuman:" in text]
    assert len(whole) > 20
    for text in whole:
        for cut_after in ("-----\n\n", "Assistant:"):
            at = text.rindex(cut_after) + len(cut_after) if cut_after != "-----\n\n" else text.index(cut_after) + 7
            assert _ids(tokenizer, text[:at]) + _ids(tokenizer, text[at:]) == _ids(tokenizer, text)


def test_a_query_list_cut_after_its_marker(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> None:
    text = texts[-1]
    at = text.rindex("Query:") + len("Query:")
    assert _ids(tokenizer, text[:at]) + _ids(tokenizer, text[at:]) == _ids(tokenizer, text)


def test_names_in_use_are_single_tokens(tokenizer: PreTrainedTokenizerFast, small_world: World) -> None:
    assert max(len(_ids(tokenizer, f" {name}")) for name in small_world.names()) == 1


def test_training_is_deterministic(texts: list[str], tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_tokenizer(train_tokenizer(texts, 600), tmp_path / name)
    assert (tmp_path / "a/tokenizer.json").read_bytes() == (tmp_path / "b/tokenizer.json").read_bytes()
