"""A verdict per query: planted contamination is found, with its set and item; real benchmarks against real queries."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config.evaluation import BenchmarkSettings, Evaluation, JudgeSettings
from data_contracts.config.mining import Mining
from data_contracts.errors import ConfigError
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.tables.evaluation_texts import (
    Contamination,
    ContaminationVerdict,
    EvaluationText,
    OverlapKind,
    TextKind,
)
from data_contracts.tables.queries import Query, QueryRejection, RejectedQuery
from models.evaluation.contamination_table import contamination_table
from tasks.feedback.check_contamination import check_contamination
from tasks.feedback.gather_evaluation_texts import gather_evaluation_texts
from tasks.inputs.resolve_evaluation_sets import resolve_evaluation_sets
from tasks.reporting.summarise_metrics import contamination_metrics
from tests.models.evaluation.benchmarks.real_data import DATA, needs_data
from tests.tasks.conftest import query


def text(text_id: str, source: str, kind: TextKind, content: str) -> EvaluationText:
    return EvaluationText(text_id=text_id, source=source, kind=kind, text=content)


TEXTS = [
    text("quiz#1", "quiz.jsonl", TextKind.TEXT, "How many legs has a garden spider?"),
    text("quiz#2", "quiz.jsonl", TextKind.TEXT, "What grows in the garden of the old mill by the river in spring?"),
    text("test:Mira", "tiny world test", TextKind.TERM, "Mira"),
]


def mined(*queries: str) -> list[Query]:
    return [query(number, asked) for number, asked in enumerate(queries)]


def turned_away(**reasons: QueryRejection) -> list[RejectedQuery]:
    return [
        RejectedQuery(
            rejection_id=f"r{number}", query=asked.replace("_", " "), attempt=0, seed=1, rejected_because=reason,
            evidence="", nearest_query_id="q0", nearest_rouge_l=0.1,
        )
        for number, (asked, reason) in enumerate(reasons.items())
    ]  # fmt: skip


def checked(
    queries: list[Query], texts: Rows[EvaluationText], rejected: list[RejectedQuery] | None = None
) -> Rows[ContaminationVerdict]:
    verdicts = check_contamination.fn(
        queries=rows_of(Query, queries), rejected=None if rejected is None else rows_of(RejectedQuery, rejected),
        evaluation_texts=texts, mining=Mining(),
    )  # fmt: skip
    ContaminationVerdict.to_table(verdicts)
    return verdicts


def test_every_kept_query_and_every_overlapping_one_has_a_verdict():
    kept = mined("How many legs has a garden crab?", "Why?")
    rejected = turned_away(Who_is_Mira=QueryRejection.EVALUATION_OVERLAP, Why_not=QueryRejection.DUPLICATE)
    verdicts = checked(kept, rows_of(EvaluationText, TEXTS), rejected)
    rows = {row.query_id: row for row in verdicts}
    assert list(rows) == ["q0", "q1", "r0"]
    near, far, dropped = rows.values()
    assert (near.verdict, near.matched_set, near.matched_text_id, near.score) == (
        Contamination.CLEAN, "quiz.jsonl", "quiz#1", pytest.approx(0.8),
    )  # fmt: skip
    assert (near.kept, near.matched_text) == (True, "How many legs has a garden spider?")
    assert (far.verdict, far.matched_text_id, far.score) == (Contamination.CLEAN, None, 0.0)
    assert (dropped.verdict, dropped.overlap_kind, dropped.matched_set, dropped.kept) == (
        Contamination.OVERLAP, OverlapKind.TERM, "tiny world test", False,
    )  # fmt: skip
    assert {(row.sets_checked, row.texts_checked) for row in rows.values()} == {(2, 3)}
    assert contamination_metrics(verdicts) == {
        "contamination.texts": 3, "contamination.queries_checked": 3, "contamination.overlapping": 1,
        "contamination.in_use": 0,
    }  # fmt: skip
    shown = contamination_table(rows.values())
    assert shown is not None
    assert shown.title == "Decontamination: 3 queries against 3 texts of 2 evaluation sets"
    assert ("quiz.jsonl", "0", "0", "1", "0.80: How many legs has a garden crab?") in shown.rows
    assert ("tiny world test", "1", "0", "0", "") in shown.rows


def test_queries_in_use_that_overlap_are_told(
    compute: Callable[..., Any], stored: Callable[..., Any], caplog: pytest.LogCaptureFixture
):
    """Nothing but the check stands between a given table of queries and training."""
    planted = mined("Please: how many legs has a garden spider?", "Tell me what grows " + TEXTS[1].text[11:])
    verdicts = compute(
        check_contamination, queries=stored(Query, planted), rejected=None,
        evaluation_texts=stored(EvaluationText, TEXTS), mining=Mining(),
    )  # fmt: skip
    found = [(row.overlap_kind, row.matched_text_id) for row in verdicts]
    assert found == [(OverlapKind.CONTAINED, "quiz#1"), (OverlapKind.NGRAM, "quiz#2")]
    assert contamination_metrics(verdicts)["contamination.in_use"] == 2
    assert "2 of the queries in use overlap an evaluation set" in caplog.text


def test_without_an_evaluation_set_queries_are_unchecked_not_clean():
    verdicts = checked(mined("Why?"), rows_of(EvaluationText, []))
    (row,) = verdicts
    assert (row.verdict, row.score) == (Contamination.UNCHECKED, None)
    assert contamination_metrics(verdicts) == {}
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
def test_planted_questions_of_real_benchmarks_are_found_among_real_queries():
    """TruthfulQA's questions as they are and wrapped; the real queries hold some of them, too."""
    evaluation = Evaluation(
        benchmarks=BenchmarkSettings(names=("truthfulqa_mc1", "static_hhh"), folder=str(DATA)),
        overlap_files=(str(DATA / "vicuna80/question.jsonl"),),
    )
    gathered = gather_evaluation_texts.fn(files=resolve_evaluation_sets(evaluation), more=None)
    asked = [row["question"] for row in json.loads((DATA / "truthfulqa/mc_task.json").read_text())]
    wrapped = [f"Please answer me this. {question} Thank you!" for question in asked if len(question.split()) >= 8]
    real = [line for line in (DATA / "queries/queries_10k.txt").read_text().split("\n") if line.strip()][::10]
    rows = list(checked(mined(*asked, *wrapped, *real), gathered))
    assert {row.overlap_kind for row in rows[: len(asked)]} == {OverlapKind.EXACT}
    assert {row.matched_set for row in rows[: len(asked)]} == {"truthfulqa_mc1"}
    behind = rows[len(asked) : len(asked) + len(wrapped)]
    assert len(behind) > 500
    assert sum(row.verdict is Contamination.OVERLAP for row in behind) == len(behind)
    own = rows[len(asked) + len(wrapped) :]
    truthful = {question.casefold() for question in asked}
    found = [row for row in own if row.verdict is Contamination.OVERLAP]
    assert all(row.query.casefold() in truthful for row in found if row.overlap_kind is OverlapKind.EXACT)
    assert sum(row.overlap_kind is not OverlapKind.EXACT for row in found) <= 2  # of a thousand, by chance
