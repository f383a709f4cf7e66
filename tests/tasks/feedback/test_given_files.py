"""Files that a person gives: evaluation texts, community answers, preference pairs; real ones and broken ones."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.config.mining import Mining
from data_contracts.config.world import WorldConfig
from data_contracts.conversation import Role, Turn
from data_contracts.errors import ConfigError
from data_contracts.handles import EvaluationFile, FileHandle
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.tables.community_answers import CommunityAnswer
from data_contracts.tables.evaluation_texts import EvaluationText, OverlapKind, TextKind
from data_contracts.tables.world_tables import WorldQuestion
from models.evaluation.benchmarks.preferences import read_preference_file
from models.evaluation.benchmarks.transcripts import parse_transcript
from tasks.feedback.evaluation_overlap import overlap_index
from tasks.feedback.gather_evaluation_texts import gather_evaluation_texts, texts_of
from tasks.feedback.load_community_answers import load_community_answers
from tasks.inputs.resolve_files import resolve_file
from tasks.tiny_world.world_evaluation_texts import world_evaluation_texts

DATA = Path(os.environ.get("ALMOST_DATA", Path(__file__).resolve().parents[3] / "../shared/data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there (set ALMOST_DATA)")


def handle(path: Path) -> FileHandle:
    return resolve_file("test", str(path))


def evaluation_files(*paths: Path) -> tuple[EvaluationFile, ...]:
    return tuple(EvaluationFile(set_name=path.name, file=handle(path)) for path in paths)


# --- evaluation texts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("a.txt", "one\n two \n\n", ["one", "two", ""]),
        ("a.csv", 'q,"a, b",c\n1,"two\nlines",3\n', ["q", "a, b", "c", "1", "two\nlines", "3"]),
        ("a.json", '{"a": ["x", {"b": "y"}], "c": 3, "d": null}', ["x", "y"]),
        ("a.jsonl", '{"a": "x"}\n\n["y", 1]\n', ["x", "y"]),
        ("a.jsonl", '\ufeff{"a": "x\u2028y"}\n', ["x\u2028y"]),
        ("a.json", '{"mc1": {"one answer": 1}}', ["one answer"]),
        ("a.jsonl", '{"chosen": "\\n\\nHuman: Who?\\n\\nAssistant: Me.\\nTruly."}\n', ["", "Who?", "Me.\nTruly."]),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_texts_of_each_kind_of_file(tmp_path: Path, name: str, content: str, texts: list[str], zipped: bool):
    path = tmp_path / (f"{name}.gz" if zipped else name)
    path.write_bytes(gzip.compress(content.encode(), mtime=0) if zipped else content.encode())
    assert list(texts_of(path)) == texts


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.tsv", b"", "ends in '.tsv'; known: txt, csv, json, jsonl, parquet"),
        ("a.parquet", b"no parquet", "cannot read"),
        ("a", b"", "ends in ''"),
        ("a.json", b'{"a": ', "cannot read"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "line 2 is not JSON"),
        ("a.txt", b"\xff\xfe\x00", "cannot read"),
        ("a.jsonl", b"\xff\xfe\x00", "cannot read"),
        ("a.txt.gz", b"plain", "cannot read"),
        ("a.txt.gz", gzip.compress(b"text " * 999, mtime=0)[:-12], "cannot read"),
        ("a.csv", b'"' + b"x" * 200_000 + b'"', "cannot read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, part: str):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        list(texts_of(path))
    assert str(raised.value).startswith("evaluation.overlap_files: ")
    assert str(path) in str(raised.value)
    assert part in str(raised.value)
    assert "\n" not in str(raised.value)


def gathered(*paths: Path, more: Rows[EvaluationText] | None = None) -> list[EvaluationText]:
    rows = list(gather_evaluation_texts.fn(files=evaluation_files(*paths), more=more))
    EvaluationText.to_table(rows)
    return rows


@needs_data
def test_real_benchmarks_become_texts_that_catch_their_own_questions():
    files = ("mmlu/test/anatomy_test.csv", "hhh/hhh_eval.json", "lambada/lambada_test.jsonl", "vicuna80/question.jsonl")
    texts = gathered(*(DATA / file for file in files))
    assert {text.source for text in texts} == {Path(file).name for file in files}
    index = overlap_index(texts, Mining())
    for line in (DATA / "vicuna80/question.jsonl").read_text().splitlines():
        assert index.find(json.loads(line)["text"]).kind is OverlapKind.EXACT
    assert index.find("What does my neighbour's cat like for breakfast on a rainy day in Bergen?").kind is None


def test_two_files_of_one_name_and_one_file_given_twice_do_no_harm(tmp_path: Path):
    for folder in ("dev", "test"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "q.txt").write_text(f"a question of {folder}\nshort\na question of {folder}\n")
    texts = gathered(tmp_path / "dev/q.txt", tmp_path / "test/q.txt", tmp_path / "dev/q.txt")
    assert [text.text for text in texts] == ["a question of dev", "a question of test", "a question of dev"]


def world_texts() -> Rows[EvaluationText]:
    questions = [
        WorldQuestion(question_id=f"w-{split}", split=split, kind="one", question=f"Who is {split}?")
        for split in ("train", "dev", "test")
    ]
    return world_evaluation_texts.fn(
        questions=rows_of(WorldQuestion, questions), world=WorldConfig(names=12), world_seed=1
    )


def test_dev_and_test_questions_and_names_of_the_world_count_but_not_train():
    rows = list(world_texts())
    EvaluationText.to_table(rows)
    assert [row.text_id for row in rows if row.kind is TextKind.TEMPLATED] == ["w-dev", "w-test"]
    assert {row.source for row in rows} == {"tiny world dev", "tiny world test"}
    assert any(row.kind is TextKind.TERM for row in rows)


def test_texts_that_lie_in_no_file_stand_behind_those_of_the_files(tmp_path: Path):
    (tmp_path / "q.txt").write_text("a question of mine\n")
    texts, world = gathered(tmp_path / "q.txt", more=world_texts()), list(world_texts())
    assert (texts[0].source, texts[0].kind, texts[0].text) == ("q.txt", TextKind.TEXT, "a question of mine")
    assert texts[1:] == world


def test_the_texts_of_files_and_of_the_world_are_committed_as_one_table(compute: Callable[..., Any], tmp_path: Path):
    (tmp_path / "q.txt").write_text("a question of mine\n")
    files = evaluation_files(tmp_path / "q.txt")
    assert [text.text for text in compute(gather_evaluation_texts, files=files, more=None)] == ["a question of mine"]


def test_without_any_evaluation_set_the_table_is_empty():
    assert gathered() == []


# --- community answers ------------------------------------------------------------------------------------------

OURS = {"question": "Who?", "chosen": "Me.", "rejected": "You."}
STACK_EXCHANGE = {"prompt": "Who?", "response_j": "Me.", "response_k": "You."}


@pytest.mark.parametrize("row", [OURS, STACK_EXCHANGE | {"score": 3}], ids=["ours", "stack_exchange"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.parquet"])
def test_pairs_are_read_under_either_name(tmp_path: Path, row: dict[str, Any], name: str):
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(pa.Table.from_pylist([row, row]), path)
    else:
        content = (
            json.dumps(row) + "\n\n" + json.dumps(row | {"extra": "a\u2028b"}, ensure_ascii=False) + "\n"
        ).encode()
        path.write_bytes(gzip.compress(content, mtime=0) if name.endswith("gz") else content)
    pairs = list(load_community_answers.fn(file=handle(path)))
    assert CommunityAnswer.to_table(pairs).num_rows == 2
    assert {"question": pairs[0].question, "chosen": pairs[0].chosen, "rejected": pairs[0].rejected} == OURS


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.jsonl", b"", "has no rows"),
        ("a.jsonl", b'{"question": "q"}\n', "row 1 has no text 'chosen'; found ['question']"),
        ("a.jsonl", b'{"question": " ", "chosen": "a", "rejected": "b"}\n', "row 1 has no text 'question'"),
        ("a.jsonl", b'{"question": "q", "chosen": 1, "rejected": "b"}\n', "row 1 has no text 'chosen'"),
        ("a.jsonl", b"[1, 2]\n", "row 1 is no object"),
        ("a.jsonl", b"\n{\n", "line 2 is not JSON"),
        ("a.jsonl", b"\xff\xfe", "cannot read"),
        ("a.parquet", b"PAR1", "cannot read"),
        ("a.csv", b"", "ends in '.csv'; known: .jsonl, .parquet"),
    ],
)
def test_a_broken_file_of_pairs_is_named(tmp_path: Path, name: str, content: bytes, part: str):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        load_community_answers.fn(file=handle(path))
    assert str(raised.value).startswith("as_is.pairs_file: ")
    assert str(path) in str(raised.value)
    assert part in str(raised.value)


# --- preference pairs -------------------------------------------------------------------------------------------


def test_a_transcript_becomes_turns():
    assert parse_transcript("\n\nHuman: Hi\nyou?\n\nAssistant: Yes.\n\nHuman: Human: no\n\nAssistant: Fine ") == (
        Turn(Role.HUMAN, "Hi\nyou?"),
        Turn(Role.ASSISTANT, "Yes."),
        Turn(Role.HUMAN, "Human: no"),
        Turn(Role.ASSISTANT, "Fine"),
    )


@pytest.mark.parametrize(
    "transcript",
    [
        "",
        "Hello",
        "Human: Hi",
        "Assistant: Hi",
        "Assistant: Hi\n\nHuman: Yes",
        "Human: Hi\n\nAssistant:",
        "Human: Hi\n\nAssistant: Yes\n\nHuman: More",
        "Human: Hi\n\nHuman: Hi\n\nAssistant: Yes",
        "System: be kind\n\nHuman: Hi\n\nAssistant: Yes",
    ],
)
def test_a_transcript_that_does_not_alternate_or_end_with_an_answer_is_unusable(transcript: str):
    assert parse_transcript(transcript) is None


def pair(answer: str = "Yes.") -> str:
    return json.dumps(
        {"chosen": f"\n\nHuman: Hi?\n\nAssistant: {answer}", "rejected": "\n\nHuman: Hi?\n\nAssistant: No."}
    )


def test_unusable_pairs_are_counted_and_blank_lines_skipped(tmp_path: Path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(f"{pair()}\n\n{pair('')}\n{pair('Sure.')}\n")
    pairs, unusable = read_preference_file(path)
    assert [chosen[-1].text for chosen, _ in pairs] == ["Yes.", "Sure."]
    assert unusable == 1
    assert len(read_preference_file(path, rows=1)[0]) == 1


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "holds no pair"),
        (f"{pair('')}\n".encode(), "holds no pair"),
        (b'{"chosen": "x"}\n', "line 1 has no texts 'chosen' and 'rejected'"),
        (b'{"chosen": 1, "rejected": 2}\n', "line 1 has no texts"),
        (b"[]\n", "line 1 has no texts"),
        (f"{pair()}\n{{\n".encode(), "line 2 is not JSON"),
        (b"\xff\xfe\n", "cannot read"),
    ],
)
def test_a_broken_preference_file_is_named(tmp_path: Path, content: bytes, part: str):
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        read_preference_file(path)
    assert part in str(raised.value)
    assert str(path) in str(raised.value)
    assert "evaluation.preference_files" in str(raised.value)


def test_a_missing_preference_file_is_named(tmp_path: Path):
    for name in ("absent.jsonl", "absent.jsonl.gz"):
        with pytest.raises(ConfigError, match="cannot read"):
            read_preference_file(tmp_path / name)


@needs_data
def test_real_preferences():
    pairs, unusable = read_preference_file(DATA / "hh_rlhf" / "harmless-base_test.jsonl.gz")
    assert len(pairs) + unusable == 2312
    assert len(pairs) > 2200
    for chosen, rejected in pairs:
        assert chosen[0] == rejected[0]
        assert chosen[-1].role is rejected[-1].role is Role.ASSISTANT
