"""Batches of the pre-training job, on token sequences written by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.errors import ConfigError
from data_contracts.tables.documents import Document, DocumentKind
from models.pretraining import batches
from models.pretraining.batches import (
    IGNORED,
    BatchPlan,
    Tokens,
    copy_targets,
    order_targets,
    plan_batches,
    read_documents,
    recall_targets,
)

PAD, HUMAN, ASSISTANT = 0, 1, 2


def _plan(short: list[Tokens], long: list[Tokens], **changes: float) -> BatchPlan:
    settings = {"tokens": 400, "tokens_per_step": 40, "short_share": 0.5, "block_length": 10, "seed": 3} | changes
    return plan_batches(short, long, **settings, special_ids=(PAD, HUMAN, ASSISTANT))  # pyright: ignore


def _documents(count: int, length: int, first: int) -> list[Tokens]:
    return [np.arange(first + 100 * i, first + 100 * i + length, dtype=np.int64) for i in range(count)]


def test_copy_targets_by_hand() -> None:
    # Human 7 8 Assistant 8: the answer begins with a token of its question. Human 7 Assistant 9: it does not.
    # The last row's 8 stands only in an earlier question.
    tokens = np.array(
        [
            [HUMAN, 7, 8, ASSISTANT, 8, 5, PAD, PAD, PAD],
            [HUMAN, 7, 6, ASSISTANT, 9, 5, 5, 5, 5],
            [HUMAN, 8, ASSISTANT, 8, HUMAN, 7, ASSISTANT, 8, 5],
            [5, 8, ASSISTANT, 8, 5, 5, 5, 5, 5],  # the question was cut off by packing
        ]
    )
    marks = copy_targets(tokens, HUMAN, ASSISTANT)
    assert marks.shape == (4, 8)
    assert np.argwhere(marks).tolist() == [[0, 3], [2, 2]]
    assert tokens[:, 1:][marks].tolist() == [8, 8]


def test_recall_targets_by_hand() -> None:
    # 30 and 31 state facts. One in a question is none to recall, nor is one that the row has stated before.
    tokens = np.array(
        [
            [HUMAN, 7, 30, ASSISTANT, 8, 31, 30, PAD, PAD],  # 31 is recalled; 30 stands in the question
            [HUMAN, 7, ASSISTANT, 30, HUMAN, 31, ASSISTANT, 30, 31],  # only the first 30
            [5, 30, ASSISTANT, 31, 5, 5, 5, 5, 31],  # behind a cut-off question; the second 31 is a repetition
            [HUMAN, 30, 31, 5, 5, 5, 5, 5, 5],
        ]
    )
    marks = recall_targets(tokens, HUMAN, ASSISTANT, np.array([30, 31]))
    assert marks.shape == (4, 8)
    assert np.argwhere(marks).tolist() == [[0, 4], [1, 2], [2, 2]]
    assert not recall_targets(tokens, HUMAN, ASSISTANT, np.array([], dtype=np.int64)).any()


def test_order_targets_by_hand() -> None:
    # 30, 31 and 32 may be asked. The first one stated is none, nor one that the answered question does not hold.
    tokens = np.array(
        [
            [HUMAN, 30, 31, ASSISTANT, 30, 5, 31, 32, PAD, PAD],  # 31 only: 32 was not asked
            [HUMAN, 30, 31, ASSISTANT, 31, HUMAN, 32, ASSISTANT, 32, 31],  # one thing each: no order
            [HUMAN, 7, ASSISTANT, 30, HUMAN, 31, 30, ASSISTANT, 31, 30],  # the last: the first answer has no say
            [30, 31, ASSISTANT, 30, 31, 5, 5, HUMAN, 30, 31],  # its question was cut off; a question is no answer
        ]
    )
    marks = order_targets(tokens, HUMAN, ASSISTANT, np.array([30, 31, 32]))
    assert marks.shape == (4, 9)
    assert np.argwhere(marks).tolist() == [[0, 5], [2, 8]]
    assert not order_targets(tokens, HUMAN, ASSISTANT, np.array([], dtype=np.int64)).any()


def test_short_rows_come_whole_and_padded_then_blocks() -> None:
    plan = _plan(_documents(20, 8, 1000), _documents(30, 15, 5000))
    assert plan.steps == 10
    assert [len(group) for group in plan.short] == [5] * 5
    assert plan.rows_per_step == 4
    short, block = plan.batch(0), plan.batch(9)
    assert short.inputs.shape == (5, 7)
    assert (short.targets == short.inputs + 1).all()
    assert block.inputs.shape == (4, 10)
    assert (block.targets[:, :-1] == block.inputs[:, 1:]).all()


def test_padding_is_no_target() -> None:
    documents = [np.array([5, 6, 7]), np.array([8, 9, 10, 11, 12])]
    plan = _plan(documents, [], tokens=8, tokens_per_step=8)
    batch = plan.batch(0)
    row = next(i for i in range(2) if batch.inputs[i, 0] == 5)
    assert batch.inputs[row].tolist() == [5, 6, 7, PAD]
    assert batch.targets[row].tolist() == [6, 7, IGNORED, IGNORED]


def test_packing_loses_no_token() -> None:
    documents = _documents(40, 17, 1000)
    plan = _plan([], documents, tokens=600, short_share=0.0)
    stream = np.concatenate([plan.blocks[:, :-1].ravel(), plan.blocks[-1, -1:]])
    starts = stream[::17]
    assert ((starts - 1000) % 100 == 0).all()  # documents stand end to end, so each 17th token begins one
    assert len(set(starts.tolist())) == len(starts)  # and none is read twice before all were


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), tokens=st.integers(50, 3000), share=st.sampled_from([0.0, 0.3, 1.0]))
def test_the_plan_is_a_function_of_its_seed_and_spends_its_tokens(seed: int, tokens: int, share: float) -> None:
    short, long = _documents(9, 6, 1000), _documents(4, 33, 5000)
    plan = _plan(short, long, seed=seed, tokens=tokens, short_share=share)
    again = _plan(short, long, seed=seed, tokens=tokens, short_share=share)
    assert plan.steps == max(1, tokens // 40)
    for step in (0, plan.steps - 1):
        assert (plan.batch(step).inputs == again.batch(step).inputs).all()
    spent = sum((plan.batch(step).targets != IGNORED).sum() for step in range(plan.steps))
    assert spent == pytest.approx(40 * plan.steps, rel=0.2)


class LetterTokenizer:
    """One token per letter; what it encodes at once is kept."""

    unk_token_id, eos_token_id = -1, 99

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def convert_tokens_to_ids(self, marker: str) -> int:
        return {"Human:": HUMAN, "Assistant:": ASSISTANT}[marker]

    def __call__(self, texts: list[str], add_special_tokens: bool) -> dict[str, list[list[int]]]:
        assert add_special_tokens
        self.asked.append(texts)
        return {"input_ids": [[0, *map(ord, text)] for text in texts]}


def test_documents_are_read_in_parts_single_turns_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [DocumentKind.SINGLE_TURN, DocumentKind.CONVERSATIONS, DocumentKind.QUERY_LIST] * 2
    rows = [Document(document_id=str(n), kind=kind, text="ab"[: 1 + n % 2]) for n, kind in enumerate(kinds)]
    files = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    Document.write_file(rows[:4], files[0])
    Document.write_file(rows[4:], files[1])
    monkeypatch.setattr(batches, "ENCODED_AT_ONCE", 5)
    tokenizer = LetterTokenizer()
    short, long = read_documents(files, tokenizer)
    assert [len(texts) for texts in tokenizer.asked] == [5, 1]
    assert [tokens.tolist() for tokens in short] == [[0, 97, 99], [0, 97, 98, 99]]
    assert [tokens.tolist() for tokens in long] == [[0, 97, 98, 99], [0, 97, 99], [0, 97, 99], [0, 97, 98, 99]]


def test_a_corpus_without_documents_is_told(tmp_path: Path) -> None:
    Document.write_file([], tmp_path / "none.parquet")
    with pytest.raises(ConfigError, match="holds no documents"):
        read_documents([tmp_path / "none.parquet"], LetterTokenizer())
