"""Questions of A/B tests in Vicuna's format, and what a judge's prompt must hold (ALMoST section 3.1)."""

from pathlib import Path
from typing import Any

from data_contracts.errors import ConfigError
from models.evaluation.benchmarks.benchmark_files import require, require_distinct, rows_of

FIELD = "evaluation.judge.questions_file"
JUDGE_PLACEHOLDERS = ("question", "answer_1", "answer_2")


def questions_of(path: Path) -> list[dict[str, Any]]:
    """Rows of a file of questions.

    Raises:
        ConfigError: the file is unreadable, lacks a field, or an id occurs twice.
    """
    rows = []
    for where, row in rows_of(FIELD, path):
        name = row.get("question_id")
        if not isinstance(name, str | int):
            raise ConfigError(f"{FIELD}: {where} has no 'question_id'")
        question, category = require(FIELD, (where, row), "text", str), row.get("category")
        rows.append({"question_id": str(name), "category": category and str(category), "question": question})
    require_distinct(FIELD, path, [row["question_id"] for row in rows])
    return rows
