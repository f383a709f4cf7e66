"""TruthfulQA, MC1 (Lin et al. 2021; ALMoST section 3.1): each answer is judged alone; the likeliest "true" wins.

The files list the correct answer first, so a tie must not be broken by position: it counts 1/k (see `choice_items`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_contracts.conversation import Role, Turn
from data_contracts.errors import ConfigError
from models.evaluation.benchmarks.benchmark import ALL, Benchmark, DataFiles, PaperColumns
from models.evaluation.benchmarks.benchmark_files import Row, require, rows_of
from models.evaluation.benchmarks.choice_items import Choice, ChoiceItem
from models.evaluation.benchmarks.prompt_template import PromptTemplate, Rendering, behind
from models.evaluation.benchmarks.questions import BenchmarkQuestion

NAME = "truthfulqa_mc1"
PLACEHOLDERS = ("question", "answer")


def read_truthfulqa(path: Path) -> list[BenchmarkQuestion]:
    """Rows `question` and `mc1_targets`: {answer: 0 or 1} as published, or lists `choices` and `labels` as on the Hub.

    Raises:
        ConfigError: the file is unreadable or another benchmark's, or a question has not exactly one correct answer.
    """
    questions = []
    for number, row in enumerate(rows_of(NAME, path)):
        answers, labels = _targets(row, require(NAME, row, "mc1_targets", dict))
        if len(answers) < 2 or labels.count(1) != 1 or set(labels) != {0, 1}:
            raise ConfigError(f"{NAME}: {row[0]} needs two or more answers with exactly one labelled 1")
        context = (Turn(Role.HUMAN, require(NAME, row, "question", str)),)
        questions.append(BenchmarkQuestion(f"{number:04d}", context, tuple(answers), labels.index(1)))
    return questions


def _targets(row: Row, targets: dict[str, Any]) -> tuple[list[str], list[int]]:
    if set(targets) == {"choices", "labels"}:
        return list(targets["choices"]), list(targets["labels"])
    return list(targets), list(targets.values())


def ask_truthfulqa(
    questions: Sequence[BenchmarkQuestion], template: PromptTemplate, rendering: Rendering
) -> list[ChoiceItem]:
    """Each question once, with a prompt of its own for every answer; the score of an answer is that of "true"."""
    true = template.options[0]
    items = []
    for question in questions:
        asked = question.context[-1].text
        prompts = [rendering.render(template, {"question": asked, "answer": answer}) for answer in question.answers]
        choices = tuple(
            Choice(prompt, behind(prompt, true), answer)
            for prompt, answer in zip(prompts, question.answers, strict=True)
        )
        items.append(ChoiceItem(question.item_id, asked, choices, question.correct))
    return items


TRUTHFULQA_MC1 = Benchmark(
    title="TruthfulQA MC1",
    data=DataFiles(
        NAME,
        (("truthfulqa/mc_task.json",), ("truthfulqa/*.parquet",)),
        ("hub:truthfulqa/truthful_qa?name=multiple_choice&split=validation",),
    ),
    read=lambda files: read_truthfulqa(files[0]),
    ask=ask_truthfulqa,
    placeholders=PLACEHOLDERS,
    options=2,
    for_reward_models=True,
    paper=PaperColumns(
        "Table 1: Static HHH alignment and TruthfulQA",
        (("TruthfulQA MC1", ALL),),
        {
            "ALMoST SFT 7B": (31.5,),
            "ALMoST PPO 7B": (38.0,),
            "ALMoST RM 7B": (54.8,),
            "Alpaca 7B": (19.5,),
            "Vicuna 7B": (52.5,),
            "Dolly-v2 12B": (15.2,),
            "Oasst-v4 12B": (23.3,),
            "Vicuna 13B": (63.3,),
        },
    ),
)
