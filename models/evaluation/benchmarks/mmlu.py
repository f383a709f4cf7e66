"""MMLU (Hendrycks et al. 2020; ALMoST section 4.1): 57 subjects in four groups, zero-shot or behind five shots.

Shots are the first of the subject's development questions. Zero-shot prompts follow Appendix E; behind shots the
template is the short one of the benchmark's authors, which the paper did not need. The groups are the authors' too
(lm-evaluation-harness counts anatomy to STEM instead of other).
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from data_contracts.conversation import Role, Turn
from data_contracts.errors import ConfigError
from models.evaluation.benchmarks.benchmark import ALL, Benchmark, DataFiles, PaperColumns, WorkedExamples
from models.evaluation.benchmarks.benchmark_files import csv_rows, require, rows_of
from models.evaluation.benchmarks.choice_items import Choice, ChoiceItem
from models.evaluation.benchmarks.prompt_template import PromptTemplate, Rendering, behind
from models.evaluation.benchmarks.questions import BenchmarkQuestion

NAME = "mmlu"
PLACEHOLDERS = ("topic", "question", "option_a", "option_b", "option_c", "option_d")
LETTERS = "ABCD"
GROUPS = {
    "STEM": (
        "abstract_algebra", "astronomy", "college_biology", "college_chemistry", "college_computer_science",
        "college_mathematics", "college_physics", "computer_security", "conceptual_physics", "electrical_engineering",
        "elementary_mathematics", "high_school_biology", "high_school_chemistry", "high_school_computer_science",
        "high_school_mathematics", "high_school_physics", "high_school_statistics", "machine_learning",
    ),
    "humanities": (
        "formal_logic", "high_school_european_history", "high_school_us_history", "high_school_world_history",
        "international_law", "jurisprudence", "logical_fallacies", "moral_disputes", "moral_scenarios", "philosophy",
        "prehistory", "professional_law", "world_religions",
    ),
    "social sciences": (
        "econometrics", "high_school_geography", "high_school_government_and_politics",
        "high_school_macroeconomics", "high_school_microeconomics", "high_school_psychology", "human_sexuality",
        "professional_psychology", "public_relations", "security_studies", "sociology", "us_foreign_policy",
    ),
    "other": (
        "anatomy", "business_ethics", "clinical_knowledge", "college_medicine", "global_facts", "human_aging", "management",
        "marketing", "medical_genetics", "miscellaneous", "nutrition", "professional_accounting",
        "professional_medicine", "virology",
    ),
}  # fmt: skip
GROUP_OF = {subject: group for group, subjects in GROUPS.items() for subject in subjects}


def read_mmlu(paths: Sequence[Path], split: str = "test") -> list[BenchmarkQuestion]:
    """Questions of a split, by subject: files `SUBJECT_test.csv`, or Parquet or JSON lines with the columns of the Hub's copy.

    Raises:
        ConfigError: no file is of that split, one is unreadable, or an answer is not among A to D.
    """
    questions: list[BenchmarkQuestion] = []
    for path in sorted(paths, key=lambda path: path.name):
        if path.suffix == ".csv" and path.stem.endswith(f"_{split}"):
            questions += _csv_questions(path, path.stem.removesuffix(f"_{split}"))
        elif path.suffix in (".parquet", ".jsonl") and path.name.startswith(split):
            questions += _hub_questions(path)
    if not questions:
        raise ConfigError(f"{NAME}: no file of split '{split}'; expected SUBJECT_{split}.csv or {split}*.parquet")
    return questions


def _csv_questions(path: Path, subject: str) -> list[BenchmarkQuestion]:
    rows = csv_rows(NAME, path, columns=6)
    return [
        _question(f"{path} row {number}", subject, number - 1, row[0], row[1:5], row[5].strip())
        for number, row in enumerate(rows, start=1)
    ]


def _hub_questions(path: Path) -> list[BenchmarkQuestion]:
    seen: dict[str, int] = defaultdict(int)
    questions = []
    for where, row in rows_of(NAME, path):
        subject, options = require(NAME, (where, row), "subject", str), require(NAME, (where, row), "choices", list)
        answer = row.get("answer")
        letter = LETTERS[answer] if isinstance(answer, int) and 0 <= answer < len(LETTERS) else str(answer)
        questions.append(_question(where, subject, seen[subject], str(row["question"]), options, letter))
        seen[subject] += 1
    return questions


def _question(
    where: str, subject: str, number: int, question: str, options: Sequence[str], letter: str
) -> BenchmarkQuestion:
    if len(options) != len(LETTERS) or letter not in LETTERS or not letter or not question.strip():
        raise ConfigError(f"{NAME}: {where} needs a question, four options and an answer from A to D")
    context = (Turn(Role.HUMAN, question.strip()),)
    return BenchmarkQuestion(f"{subject}-{number:04d}", context, tuple(options), LETTERS.index(letter), subject)


def ask_mmlu(
    questions: Sequence[BenchmarkQuestion],
    template: PromptTemplate,
    rendering: Rendering,
    development: Sequence[BenchmarkQuestion] = (),
    shots: int = 0,
) -> list[ChoiceItem]:
    """Each question once, behind the first `shots` development questions of its subject.

    Raises:
        ConfigError: a subject has fewer development questions than shots.
    """
    shown: dict[str | None, list[BenchmarkQuestion]] = defaultdict(list)
    for question in development:
        shown[question.group].append(question)
    items = []
    for question in questions:
        own = shown[question.group][:shots]
        if len(own) < shots:
            raise ConfigError(f"{NAME}: {question.group} has {len(own)} development questions, but {shots} shots")
        examples = [(_values(shot), template.options[shot.correct]) for shot in own]
        prefix, prompt = rendering.render_shots(template, _values(question), examples)
        choices = tuple(Choice(prompt, behind(prompt, option)) for option in template.options)
        items.append(ChoiceItem(question.item_id, prompt, choices, question.correct, question.group, prefix=prefix))
    return items


def _values(question: BenchmarkQuestion) -> dict[str, str]:
    options = {f"option_{letter.lower()}": text for letter, text in zip(LETTERS, question.answers, strict=True)}
    return {"topic": str(question.group).replace("_", " "), "question": question.context[-1].text} | options


MMLU = Benchmark(
    title="MMLU",
    data=DataFiles(
        NAME,
        (("mmlu/test/*_test.csv", "mmlu/dev/*_dev.csv"), ("mmlu/test*.parquet", "mmlu/dev*.parquet")),
        ("hub:cais/mmlu?name=all&split=test", "hub:cais/mmlu?name=all&split=dev"),
    ),
    read=read_mmlu,
    ask=ask_mmlu,
    placeholders=PLACEHOLDERS,
    options=len(LETTERS),
    examples=WorkedExamples(read=lambda files: read_mmlu(files, "dev"), ask=ask_mmlu),
    larger_groups=GROUP_OF,
    paper=PaperColumns(
        "Table 2: MMLU and LAMBADA, zero-shot",
        (
            ("Humanities", "humanities"),
            ("STEM", "STEM"),
            ("Social sciences", "social sciences"),
            ("Other", "other"),
            ("All", ALL),
        ),
        {
            "LLaMA 7B": (30.2, 31.0, 45.6, 30.1, 31.3),
            "Alpaca 7B": (40.3, 35.7, 44.4, 42.7, 40.3),
            "ALMoST SFT 7B": (32.0, 30.9, 33.3, 30.2, 31.5),
            "ALMoST PPO 7B": (30.4, 28.3, 29.2, 27.9, 28.9),
        },
    ),
)
