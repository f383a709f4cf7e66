"""A verdict per query: planted contamination is found, with its set and item; real benchmarks against real queries."""

import json
from pathlib import Path

import pytest

from data_contracts.config.evaluation import BenchmarkSettings, Evaluation, JudgeSettings
from data_contracts.config.mining import Mining
from data_contracts.errors import ConfigError
from data_contracts.tables.evaluation_texts import Contamination, ContaminationVerdict, EvaluationText, OverlapKind
from data_contracts.tables.evaluation_texts import TextKind as Kind
from data_contracts.tables.queries import Query, QueryRejection, RejectedQuery
from data_contracts.tables.rows import Rows, rows_of
from models.evaluation.contamination_table import contamination_table
from tasks.feedback.check_contamination import check_contamination
from tasks.feedback.gather_evaluation_texts import gather_evaluation_texts
from tasks.inputs.resolve_evaluation_sets import resolve_evaluation_sets
from tasks.reporting.summarise_metrics import contamination_metrics
from tests.models.evaluation.benchmarks.real_data import DATA, needs_data
from tests.tasks.conftest import query

MILL = "What grows in the garden of the old mill by the river in spring?"
TEXTS = [
    EvaluationText(text_id="quiz#1", source="quiz.jsonl", kind=Kind.TEXT, text="How many legs has a garden spider?"),
    EvaluationText(text_id="quiz#2", source="quiz.jsonl", kind=Kind.TEXT, text=MILL),
    EvaluationText(text_id="test:Mira", source="tiny world test", kind=Kind.TERM, text="Mira"),
]


def mined(*queries: str) -> Rows[Query]:
    return rows_of(Query, [query(number, text) for number, text in enumerate(queries)])


def turned_away(**reasons: QueryRejection) -> Rows[RejectedQuery]:
    return rows_of(
        RejectedQuery,
        [
            RejectedQuery(
                rejection_id=f"r{number}", query=query.replace("_", " "), rejected_because=reason, attempt=0, seed=1,
                evidence="", nearest_query_id="q0", nearest_rouge_l=0.1,
            )
            for number, (query, reason) in enumerate(reasons.items())
        ],
    )  # fmt: skip


def check(
    queries: Rows[Query], texts: list[EvaluationText], rejected: Rows[RejectedQuery] | None = None
) -> Rows[ContaminationVerdict]:
    """The verdicts, checked against their table's rules."""
    found = check_contamination.fn(
        queries=queries, rejected=rejected, evaluation_texts=rows_of(EvaluationText, texts), mining=Mining()
    )
    found.table()
    return found


def test_every_kept_query_and_every_overlapping_one_has_a_verdict():
    kept = mined("How many legs has a garden crab?", "Why?")
    rejected = turned_away(Who_is_Mira=QueryRejection.EVALUATION_OVERLAP, Why_not=QueryRejection.DUPLICATE)
    verdicts = check(kept, TEXTS, rejected)
    assert [row.query_id for row in verdicts] == ["q0", "q1", "r0"]
    near, far, dropped = verdicts
    assert (near.verdict, near.matched_set, near.matched_text_id, near.score) == (
        Contamination.CLEAN, "quiz.jsonl", "quiz#1", pytest.approx(0.8),
    )  # fmt: skip
    assert (far.verdict, far.matched_text_id, far.score) == (Contamination.CLEAN, None, 0.0)
    assert (dropped.verdict, dropped.overlap_kind, dropped.matched_set, dropped.kept) == (
        Contamination.OVERLAP, OverlapKind.TERM, "tiny world test", False,
    )  # fmt: skip
    assert {(row.sets_checked, row.texts_checked) for row in verdicts} == {(2, 3)}
    assert contamination_metrics(verdicts) == {
        "contamination.texts": 3, "contamination.queries_checked": 3, "contamination.overlapping": 1,
        "contamination.in_use": 0,
    }  # fmt: skip
    shown = contamination_table(verdicts)
    assert shown is not None
    assert shown.title == "Decontamination: 3 queries against 3 texts of 2 evaluation sets"
    assert ("quiz.jsonl", "0", "0", "1", "0.80: How many legs has a garden crab?") in shown.rows
    assert ("tiny world test", "1", "0", "0", "") in shown.rows


def test_queries_in_use_that_overlap_are_told(caplog: pytest.LogCaptureFixture):
    """Nothing but the check stands between a given table of queries and training."""
    planted = mined("Please: how many legs has a garden spider?", "Tell me what grows " + MILL[11:])
    verdicts = check(planted, TEXTS)
    assert [(row.overlap_kind, row.matched_text_id) for row in verdicts] == [
        (OverlapKind.CONTAINED, "quiz#1"), (OverlapKind.NGRAM, "quiz#2"),
    ]  # fmt: skip
    assert contamination_metrics(verdicts)["contamination.in_use"] == 2
    assert "2 of the queries in use overlap an evaluation set" in caplog.text


def test_without_an_evaluation_set_queries_are_unchecked_not_clean():
    verdicts = check(mined("Why?"), [])
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
    rows = list(check(mined(*asked, *wrapped, *real), list(gathered)))
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
