"""A verdict per query: planted contamination is found, with its set and item; real benchmarks against real queries."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config.evaluation import BenchmarkSettings, Evaluation, JudgeSettings
from data_contracts.config.mining import Mining
from data_contracts.errors import ConfigError
from data_contracts.tables.evaluation_texts import ContaminationVerdict, EvaluationText
from data_contracts.tables.queries import Query, RejectedQuery
from models.evaluation.contamination_table import contamination_table
from tasks.feedback.check_contamination import check_contamination
from tasks.feedback.gather_evaluation_texts import gather_evaluation_texts
from tasks.inputs.resolve_evaluation_sets import resolve_evaluation_sets
from tasks.reporting.summarise_metrics import contamination_metrics
from tests.models.evaluation.benchmarks.real_data import DATA, needs_data
from tests.tasks.conftest import query

Compute, Commit = Callable[..., Any], Callable[..., Any]
TEXTS = [
    ("quiz#1", "quiz.jsonl", "text", "How many legs has a garden spider?"),
    ("quiz#2", "quiz.jsonl", "text", "What grows in the garden of the old mill by the river in spring?"),
    ("test:Mira", "tiny world test", "term", "Mira"),
]


def texts(commit: Commit, rows: list[tuple[str, ...]]) -> Any:
    return commit(EvaluationText, [dict(zip(EvaluationText.schema().names, row, strict=True)) for row in rows])


def mined(commit: Commit, *queries: str) -> Any:
    return commit(Query, [query(n, text) for n, text in enumerate(queries)])


def turned_away(commit: Commit, **reasons: str) -> Any:
    common = {"attempt": 0, "seed": 1, "evidence": "", "nearest_query_id": "q0", "nearest_rouge_l": 0.1}
    return commit(
        RejectedQuery,
        [
            common | {"rejection_id": f"r{n}", "query": query.replace("_", " "), "rejected_because": reason}
            for n, (query, reason) in enumerate(reasons.items())
        ],
    )


def test_every_kept_query_and_every_overlapping_one_has_a_verdict(compute: Compute, commit: Commit):
    kept = mined(commit, "How many legs has a garden crab?", "Why?")
    rejected = turned_away(commit, Who_is_Mira="evaluation_overlap", Why_not="duplicate")
    table = compute(check_contamination, kept, rejected, texts(commit, TEXTS), Mining())
    rows = {row["query_id"]: row for row in read(ContaminationVerdict, table).to_pylist()}
    assert list(rows) == ["q0", "q1", "r0"]
    near, far, dropped = rows.values()
    assert (near["verdict"], near["matched_set"], near["matched_text_id"], near["score"]) == (
        "clean", "quiz.jsonl", "quiz#1", pytest.approx(0.8),
    )  # fmt: skip
    assert (far["verdict"], far["matched_text_id"], far["score"]) == ("clean", None, 0.0)
    assert (dropped["verdict"], dropped["overlap_kind"], dropped["matched_set"], dropped["kept"]) == (
        "overlap", "term", "tiny world test", False,
    )  # fmt: skip
    assert {(row["sets_checked"], row["texts_checked"]) for row in rows.values()} == {(2, 3)}
    assert contamination_metrics(table) == {
        "contamination.texts": 3, "contamination.queries_checked": 3, "contamination.overlapping": 1,
        "contamination.in_use": 0,
    }  # fmt: skip
    shown = contamination_table(rows.values())
    assert shown is not None
    assert shown.title == "Decontamination: 3 queries against 3 texts of 2 evaluation sets"
    assert ("quiz.jsonl", "0", "0", "1", "0.80: How many legs has a garden crab?") in shown.rows
    assert ("tiny world test", "1", "0", "0", "") in shown.rows


def test_queries_in_use_that_overlap_are_told(compute: Compute, commit: Commit, caplog: pytest.LogCaptureFixture):
    """Nothing but the check stands between a given table of queries and training."""
    planted = mined(commit, "Please: how many legs has a garden spider?", "Tell me what grows " + TEXTS[1][3][11:])
    table = compute(check_contamination, planted, None, texts(commit, TEXTS), Mining())
    found = [(row["overlap_kind"], row["matched_text_id"]) for row in read(ContaminationVerdict, table).to_pylist()]
    assert found == [("contained", "quiz#1"), ("ngram", "quiz#2")]
    assert contamination_metrics(table)["contamination.in_use"] == 2
    assert "2 of the queries in use overlap an evaluation set" in caplog.text


def test_without_an_evaluation_set_queries_are_unchecked_not_clean(compute: Compute, commit: Commit):
    table = compute(check_contamination, mined(commit, "Why?"), None, texts(commit, []), Mining())
    (row,) = read(ContaminationVerdict, table).to_pylist()
    assert (row["verdict"], row["score"]) == ("unchecked", None)
    assert contamination_metrics(table) == {}
    assert contamination_table([row]) is None


@needs_data
def test_every_file_that_a_run_is_evaluated_on_is_an_evaluation_set(tmp_path: Path):
    (tmp_path / "own.txt").write_text("A question of mine\n")
    questions = str(DATA / "vicuna80/question.jsonl")
    evaluation = Evaluation(
        benchmarks=BenchmarkSettings(names=("mmlu", "static_hhh"), folder=str(DATA)),
        judge=JudgeSettings(kind="model", questions_file=questions),
        preference_files=(str(DATA / "hh_rlhf/harmless-base_test.jsonl.gz"),),
        overlap_files=(str(tmp_path / "own.txt"), questions),
    )
    names = [file.set_name for file in resolve_evaluation_sets(evaluation)]
    assert names.count("mmlu") == 114
    assert names[114:] == ["static_hhh", "question.jsonl", "harmless-base_test.jsonl.gz", "own.txt"]
    assert resolve_evaluation_sets(Evaluation()) == ()
    with pytest.raises(ConfigError, match="overlap_files"):
        resolve_evaluation_sets(Evaluation(overlap_files=("/no/x.txt",)))


@needs_data
def test_planted_questions_of_real_benchmarks_are_found_among_real_queries(compute: Compute, commit: Commit):
    """TruthfulQA's questions as they are and wrapped; the real queries hold some of them, too."""
    evaluation = Evaluation(
        benchmarks=BenchmarkSettings(names=("truthfulqa_mc1", "static_hhh"), folder=str(DATA)),
        overlap_files=(str(DATA / "vicuna80/question.jsonl"),),
    )
    gathered = compute(gather_evaluation_texts, resolve_evaluation_sets(evaluation), None, None, 1)
    asked = [row["question"] for row in json.loads((DATA / "truthfulqa/mc_task.json").read_text())]
    wrapped = [f"Please answer me this. {question} Thank you!" for question in asked if len(question.split()) >= 8]
    real = [line for line in (DATA / "queries/queries_10k.txt").read_text().split("\n") if line.strip()][::10]
    queries = mined(commit, *asked, *wrapped, *real)
    rows = read(ContaminationVerdict, compute(check_contamination, queries, None, gathered, Mining())).to_pylist()
    assert {row["overlap_kind"] for row in rows[: len(asked)]} == {"exact"}
    assert {row["matched_set"] for row in rows[: len(asked)]} == {"truthfulqa_mc1"}
    behind = rows[len(asked) : len(asked) + len(wrapped)]
    assert len(behind) > 500
    assert sum(row["verdict"] == "overlap" for row in behind) == len(behind)
    own = rows[len(asked) + len(wrapped) :]
    truthful = {question.casefold() for question in asked}
    found = [row for row in own if row["verdict"] == "overlap"]
    assert all(row["query"].casefold() in truthful for row in found if row["overlap_kind"] == "exact")
    assert sum(row["overlap_kind"] != "exact" for row in found) <= 2  # of a thousand, by chance
