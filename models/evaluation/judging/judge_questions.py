"""Questions of A/B tests in Vicuna's format, and what a judge's prompt must hold (ALMoST section 3.1)."""

from pathlib import Path

from data_contracts.errors import ConfigError
from data_contracts.tables.verdicts import JudgeQuestion
from models.evaluation.benchmarks.benchmark_files import require, require_distinct, rows_of

FIELD = "evaluation.judge.questions_file"
JUDGE_PLACEHOLDERS = ("question", "answer_1", "answer_2")


def questions_of(path: Path) -> list[JudgeQuestion]:
    """The questions of a file.

    Raises:
        ConfigError: the file is unreadable, lacks a field, or an id occurs twice.
    """
    questions = []
    for where, row in rows_of(FIELD, path):
        name = row.get("question_id")
        if not isinstance(name, str | int):
            raise ConfigError(f"{FIELD}: {where} has no 'question_id'")
        text, category = require(FIELD, (where, row), "text", str), row.get("category")
        questions.append(
            JudgeQuestion(question_id=str(name), category=None if category is None else str(category), question=text)
        )
    require_distinct(FIELD, path, [question.question_id for question in questions])
    return questions
