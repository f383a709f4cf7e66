"""Datasets by name: read through `datasets.load_dataset` from local folders, and a clear word where there is no network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.config.evaluation import BenchmarkSettings
from data_contracts.errors import ConfigError
from models.evaluation.benchmarks.catalogue import BENCHMARKS
from models.evaluation.benchmarks.preferences import PREFERENCES
from tasks.inputs.fetch_dataset import DatasetSource, fetch_dataset, parse_source
from tasks.inputs.resolve_benchmarks import preference_files, resolve_benchmarks
from tasks.inputs.resolve_files import resolve_file

CARD = """---
configs:
- config_name: all
  data_files:
  - {split: test, path: test-*}
  - {split: dev, path: dev-*}
---
"""
Publish = Callable[[str, list[dict[str, Any]]], None]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset cache of the test's own."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    """Write rows as a part of a dataset folder under `published`."""

    def write(name: str, rows: list[dict[str, Any]]) -> None:
        path = tmp_path / "published" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), path)

    return write


def question(number: int) -> dict[str, Any]:
    return {"question": f"Q{number}?", "subject": "anatomy", "choices": list("wxyz"), "answer": number % 4}


def test_a_name_has_parts():
    assert parse_source("f", "hub:cais/mmlu@abc?name=all&split=dev") == DatasetSource(
        "cais/mmlu", "abc", "all", None, "dev"
    )
    assert parse_source("f", "hub:/data/x").is_local
    assert parse_source("f", "hub:a/b?data_dir=c").split == "test"
    for name, part in (("hub:", "no dataset named"), ("hub:a?page=1", "unknown option 'page'"), ("hub:a?x", "unknown")):
        with pytest.raises(ConfigError, match=part):
            parse_source("f", name)


def test_mmlu_as_the_hub_has_it(publish: Publish, tmp_path: Path):
    publish("test-00000-of-00001.parquet", [question(n) for n in range(3)])
    publish("dev-00000-of-00001.parquet", [question(n) for n in range(5)])
    (tmp_path / "published" / "README.md").write_text(CARD)
    sources = tuple(f"hub:{tmp_path / 'published'}?name=all&split={split}" for split in ("test", "dev"))
    settings = BenchmarkSettings(names=("mmlu",), datasets={"mmlu": sources}, mmlu_shots=5)
    (handle,) = resolve_benchmarks(settings)
    paths = [Path(file.path) for file in handle.files]
    assert [question.correct for question in BENCHMARKS["mmlu"].questions(paths)] == [0, 1, 2]
    publish("test-00000-of-00001.parquet", [question(3)])
    (changed,) = resolve_benchmarks(settings)
    assert changed.files[0].digest != handle.files[0].digest
    assert changed.files[1].digest == handle.files[1].digest


def test_hhh_as_the_hub_has_it(publish: Publish, tmp_path: Path):
    for place, split in enumerate(("helpful", "harmless", "honest", "other")):
        targets = {"choices": [f"yes {split}", "no"][:: 1 if place % 2 else -1], "labels": [place % 2, 1 - place % 2]}
        publish(f"{split}/test/0000.parquet", [{"input": f"{split}?", "targets": targets}])
    names = (f"hub:{tmp_path / 'published'}?data_dir={split}" for split in ("helpful", "harmless", "honest", "other"))
    files = [resolve_file("f", name) for name in names]
    questions = BENCHMARKS["static_hhh"].questions([Path(file.path) for file in files])
    assert [(q.item_id, q.group, q.answers[q.correct]) for q in questions] == [
        ("0000", "helpful", "yes helpful"), ("0001", "harmless", "yes harmless"), ("0002", "honest", "yes honest"),
        ("0003", "other", "yes other"),
    ]  # fmt: skip
    assert questions[0].context[0].text == "helpful?"


def test_other_kinds_of_files_and_slices(tmp_path: Path):
    folder = tmp_path / "pairs"
    folder.mkdir()
    rows = [
        {"chosen": f"\n\nHuman: Hi {n}\n\nAssistant: Yes", "rejected": "\n\nHuman: Hi\n\nAssistant: No"}
        for n in range(4)
    ]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = resolve_file("f", f"hub:{folder}?split=train[1:3]")
    assert [json.loads(line)["chosen"][9:13] for line in Path(file.path).read_text().splitlines()] == ["Hi 1", "Hi 2"]
    assert file.name.startswith("train_1_3_-pairs-")


def test_what_cannot_be_fetched_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, publish: Publish):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    publish("test.parquet", [question(1)])
    here = tmp_path / "published"
    for source, part in (
        ("hub:cais/mmlu?name=all", "offline"),
        (f"hub:cais/mmlu@{'a' * 40}?name=all", "cannot be fetched"),
        (f"hub:{tmp_path}/nowhere", "nowhere"),
        (f"hub:{here}?split=dev", "dev"),
        (f"hub:{here}?split=test[:0]", "no data"),
    ):
        with pytest.raises(ConfigError) as raised:
            fetch_dataset("evaluation.benchmarks", source)
        assert str(raised.value).startswith("evaluation.benchmarks: dataset 'hub:")
        assert part in str(raised.value)
        assert "\n" not in str(raised.value)
    with pytest.raises(ConfigError, match="hh-rlhf"):
        preference_files("hub")
    with pytest.raises(ConfigError, match="truthful_qa"):
        resolve_benchmarks(BenchmarkSettings(names=("truthfulqa_mc1",), folder="hub"))
    assert all(data.hub for data in (PREFERENCES, *(benchmark.data for benchmark in BENCHMARKS.values())))


def test_a_benchmark_that_is_none_is_refused():
    for field, settings in (
        ("names", BenchmarkSettings(names=("chess",))),
        ("datasets", BenchmarkSettings(datasets={"chess": ("x",)})),
    ):
        with pytest.raises(ConfigError) as raised:
            resolve_benchmarks(settings)
        assert str(raised.value) == (
            f"evaluation.benchmarks.{field}: unknown benchmark 'chess'; known: static_hhh, truthfulqa_mc1, mmlu, lambada"
        )


def test_the_beginning_of_a_split_that_is_too_large_to_fetch(publish: Publish, tmp_path: Path):
    publish("train-00000-of-00002.parquet", [question(n) for n in range(5)])
    publish("train-00001-of-00002.parquet", [question(n) for n in range(5, 9)])
    name = f"hub:{tmp_path / 'published'}?split=train"

    def asked(source: str) -> list[str]:
        return [json.loads(line)["question"] for line in fetch_dataset("f", source).read_text().splitlines()]

    assert asked(f"{name}&rows=6") == [f"Q{n}?" for n in range(6)]
    assert asked(f"{name}&rows=2") == ["Q0?", "Q1?"], "another number of rows is another file"
    assert len(asked(f"{name}&rows=100")) == len(asked(name)) == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("rows=0", "rows is '0'"),
        ("rows=-3", "rows is '-3'"),
        ("rows=many", "rows is 'many'"),
        ("rows=", "rows is ''"),
        ("split=train[:3]&rows=2", "leave the slice out"),
    ],
)
def test_rows_that_cannot_be_taken(options: str, message: str):
    with pytest.raises(ConfigError) as error:
        fetch_dataset("as_is.pairs_file", f"hub:a/b?{options}")
    assert str(error.value).startswith("as_is.pairs_file: hub:a/b?")
    assert message in str(error.value)
