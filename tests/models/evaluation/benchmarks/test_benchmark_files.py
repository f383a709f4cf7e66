"""Benchmarks as files: real ones are read whole, wrong ones are refused by name."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.errors import ConfigError
from models.evaluation.benchmarks import mmlu
from models.evaluation.benchmarks.benchmark import Settings
from models.evaluation.benchmarks.catalogue import BENCHMARKS
from models.evaluation.benchmarks.lambada import LAMBADA, read_lambada
from models.evaluation.benchmarks.mmlu import GROUPS, MMLU, read_mmlu
from models.evaluation.benchmarks.static_hhh import SPLITS, STATIC_HHH, read_static_hhh
from models.evaluation.benchmarks.truthfulqa import read_truthfulqa
from tasks.inputs.resolve_benchmarks import find_files
from tests.models.evaluation.benchmarks.real_data import DATA, needs_data

SIZES = {"static_hhh": 221, "truthfulqa_mc1": 817, "mmlu": 14042, "lambada": 5153}


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def hhh_row(split: str, chosen: str = "Yes.", rejected: str = "No.") -> dict[str, str]:
    start = "\n\nHuman: Hi?\n\nAssistant: "
    return {"chosen": start + chosen, "rejected": start + rejected, "type": split}


HHH = [hhh_row(split) for split in SPLITS]


@needs_data
@pytest.mark.parametrize("name", list(SIZES))
def test_real_files_are_read_whole(name: str):
    questions = BENCHMARKS[name].questions(find_files(BENCHMARKS[name].data, DATA))
    assert len(questions) == SIZES[name]
    assert len({question.item_id for question in questions}) == SIZES[name]
    if name == "mmlu":
        assert {question.group for question in questions} == {s for subjects in GROUPS.values() for s in subjects}
    if name == "static_hhh":
        counts = {split: sum(question.group == split for question in questions) for split in SPLITS}
        assert counts == {"helpful": 59, "harmless": 58, "honest": 61, "other": 43}


def test_57_subjects_in_four_groups():
    assert {group: len(subjects) for group, subjects in GROUPS.items()} == {
        "STEM": 18, "humanities": 13, "social sciences": 12, "other": 14,
    }  # fmt: skip


def test_hhh_is_asked_in_both_orders(tmp_path: Path):
    questions = read_static_hhh(write(tmp_path / "hhh.json", HHH))
    text = "### options: A | B\n{question}\nA: {answer_a}\nB: {answer_b}\nBest:"
    template = STATIC_HHH.parse_template("mine.txt", text)
    first, second = STATIC_HHH.items(questions[:1], [], template, Settings())
    assert first.prompt == "Human: Hi?\nA: Yes.\nB: No.\nBest:"
    assert second.prompt == "Human: Hi?\nA: No.\nB: Yes.\nBest:"
    assert (first.correct, second.correct) == (0, 1)
    assert [choice.option for choice in first.choices] == [" A", " B"]
    assert first.item_id == second.item_id
    assert {first.variant, second.variant} == {"better_is_a", "better_is_b"}


def test_truthfulqa_in_both_published_shapes(tmp_path: Path):
    own = [{"question": "Q?", "mc1_targets": {"right": 1, "wrong": 0}}]
    hub = pa.Table.from_pylist([{"question": "Q?", "mc1_targets": {"choices": ["wrong", "right"], "labels": [0, 1]}}])
    pq.write_table(hub, tmp_path / "hub.parquet")
    assert [(q.answers, q.correct) for q in read_truthfulqa(write(tmp_path / "a.json", own))] == [
        (("right", "wrong"), 0)
    ]
    assert [(q.answers, q.correct) for q in read_truthfulqa(tmp_path / "hub.parquet")] == [(("wrong", "right"), 1)]


def test_mmlu_behind_shots(tmp_path: Path):
    row = 'What is {n}?,one,two,three,"four, or so",{letter}\n'
    write(tmp_path / "anatomy_dev.csv", row.format(n=1, letter="A") + row.format(n=2, letter="C"))
    write(tmp_path / "anatomy_test.csv", row.format(n="3 {topic}", letter="D"))
    files = sorted(tmp_path.glob("*.csv"))
    text = "### options: A | B | C | D\nAbout {topic}.\n---\n{question} {option_a} {option_b} {option_c} {option_d}:"
    template = MMLU.parse_template("mine.txt", text)
    (item,) = MMLU.items(read_mmlu(files), files, template, Settings(shots=2))
    shot = "What is {} one two three four, or so: {}\n\n"
    assert item.prefix == "About anatomy.\n\n" + shot.format("1?", "A") + shot.format("2?", "C")
    assert item.prompt == "What is 3 {topic}? one two three four, or so:"
    assert item.correct == 3
    with pytest.raises(ConfigError, match="anatomy has 2 development questions, but 5 shots"):
        MMLU.items(read_mmlu(files), files, template, Settings(shots=5))


def test_mmlu_of_the_hub(tmp_path: Path):
    rows = [{"question": "Q?", "subject": "anatomy", "choices": list("wxyz"), "answer": 2}] * 2
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "test-00000-of-00001.parquet")
    questions = read_mmlu(list(tmp_path.iterdir()))
    assert [(q.item_id, q.correct, q.group) for q in questions] == [
        ("anatomy-0000", 2, "anatomy"), ("anatomy-0001", 2, "anatomy"),
    ]  # fmt: skip


def test_lambada_cuts_the_last_word(tmp_path: Path):
    (question,) = read_lambada(write(tmp_path / "l.jsonl", json.dumps({"text": ' He said "good morning" '}) + "\n"))
    assert (question.context[0].text, question.answers) == ('He said "good', ('morning"',))


@pytest.mark.parametrize(
    ("reader", "name", "content", "part"),
    [
        (read_static_hhh, "a.json", HHH[:3], "holds no item of split other"),
        (read_static_hhh, "a.json", [], "holds no rows"),
        (read_static_hhh, "a.json", json.dumps(HHH)[:-9], "cannot read"),
        (read_static_hhh, "a.json", [hhh_row("kind")], "is of split 'kind'; known: helpful"),
        (read_static_hhh, "a.json", [{"question": "Q?"}], "row 1 has no str 'chosen' (it has: question)"),
        (read_static_hhh, "a.json", [hhh_row("honest") | {"rejected": "\n\nHuman: Bye\n\nAssistant: No"}], "no pair"),
        (read_static_hhh, "a.json", {"a": 1}, "is no list of rows"),
        (read_static_hhh, "a.json", ["x"], "row 1 is str, not an object"),
        (read_static_hhh, "a.tsv", "x", "ends in '.tsv'; known"),
        (read_truthfulqa, "a.json", [{"question": "Q?", "mc1_targets": {"a": 1, "b": 1}}], "exactly one labelled 1"),
        (read_truthfulqa, "a.json", HHH, "no dict 'mc1_targets'"),
        (read_truthfulqa, "a.parquet", "no parquet", "cannot read"),
        (read_lambada, "a.jsonl", '{"text": "alone"}\n', "line 1 has fewer than two words"),
        (read_lambada, "a.jsonl", '{"text": "two words"}\n{"te', "line 2 is not JSON"),
        (lambda path: read_mmlu([path]), "a.csv", "", "no file of split 'test'"),
        (lambda path: read_mmlu([path]), "anatomy_test.csv", "", "holds no rows"),
        (lambda path: read_mmlu([path]), "anatomy_test.csv", "q,a,b,c,d\n", "row 1 has 5 columns, expected 6"),
        (lambda path: read_mmlu([path]), "anatomy_test.csv", "q,a,b,c,d,E\n", "an answer from A to D"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_wrong_files_are_named(reader, name: str, content: object, part: str, tmp_path: Path):
    path = write(tmp_path / name, content)
    with pytest.raises(ConfigError) as raised:
        reader(path)
    assert part in str(raised.value)
    assert mmlu.NAME in str(raised.value) or str(path) in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"static_hhh: file .*gone\.json does not exist"):
        read_static_hhh(tmp_path / "gone.json")
    with pytest.raises(ConfigError, match=r"has no files of lambada; expected lambada/\*\.jsonl or"):
        find_files(LAMBADA.data, tmp_path)
