"""The benchmarks by name: where their files lie in a data folder, how they are read, and how a model is asked.

A data folder is laid out as hhh/, truthfulqa/, mmlu/{test,dev}/, lambada/ and hh_rlhf/; the first pattern that finds
files counts. Preference files have no prompt: only reward models read them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from models.evaluation.benchmarks import lambada, mmlu, static_hhh, truthfulqa
from models.evaluation.benchmarks.choice_items import ChoiceItem
from models.evaluation.benchmarks.prompt_template import FOLDER, PromptStyle, PromptTemplate, Rendering, parse_template
from models.evaluation.benchmarks.questions import BenchmarkQuestion


class Benchmark(StrEnum):
    """What can be evaluated with files of items."""

    STATIC_HHH = "static_hhh"
    TRUTHFULQA_MC1 = "truthfulqa_mc1"
    MMLU = "mmlu"
    LAMBADA = "lambada"
    PREFERENCES = "preferences"


FILE_PATTERNS: dict[Benchmark, tuple[tuple[str, ...], ...]] = {
    Benchmark.STATIC_HHH: (("hhh/*.json",), ("hhh/*.jsonl",)),
    Benchmark.TRUTHFULQA_MC1: (("truthfulqa/mc_task.json",), ("truthfulqa/*.parquet",)),
    Benchmark.MMLU: (("mmlu/test/*_test.csv", "mmlu/dev/*_dev.csv"), ("mmlu/test*.parquet", "mmlu/dev*.parquet")),
    Benchmark.LAMBADA: (("lambada/*.jsonl",), ("lambada/*.parquet",)),
    Benchmark.PREFERENCES: (("hh_rlhf/*.jsonl.gz", "hh_rlhf/*.jsonl"),),
}
# Public copies on the Hub.
HUB_DATASETS: dict[Benchmark, tuple[str, ...]] = {
    Benchmark.STATIC_HHH: tuple(
        f"hub:HuggingFaceH4/hhh_alignment@refs/convert/parquet?data_dir={split}&split=test"
        for split in static_hhh.SPLITS
    ),
    Benchmark.TRUTHFULQA_MC1: ("hub:truthfulqa/truthful_qa?name=multiple_choice&split=validation",),
    Benchmark.MMLU: ("hub:cais/mmlu?name=all&split=test", "hub:cais/mmlu?name=all&split=dev"),
    Benchmark.LAMBADA: ("hub:EleutherAI/lambada_openai?name=default&split=test",),
    Benchmark.PREFERENCES: ("hub:Anthropic/hh-rlhf?data_dir=helpful-base&split=test",),
}
# Placeholders and number of options of each template.
TEMPLATES: dict[str, tuple[tuple[str, ...], int]] = {
    static_hhh.NAME: (static_hhh.PLACEHOLDERS, 2),
    truthfulqa.NAME: (truthfulqa.PLACEHOLDERS, 2),
    mmlu.NAME: (mmlu.PLACEHOLDERS, 4),
    "mmlu_few_shot": (mmlu.PLACEHOLDERS, 4),
    lambada.NAME: (lambada.PLACEHOLDERS, 0),
}
FOR_REWARD_MODELS = (Benchmark.STATIC_HHH, Benchmark.TRUTHFULQA_MC1, Benchmark.PREFERENCES)
FOR_LANGUAGE_MODELS = (Benchmark.STATIC_HHH, Benchmark.TRUTHFULQA_MC1, Benchmark.MMLU, Benchmark.LAMBADA)


@dataclass(frozen=True)
class Settings:
    """How a benchmark is asked; `items` limits the questions, of MMLU per subject and of HHH per split."""

    shots: int = 0
    style: PromptStyle = PromptStyle.PLAIN
    items: int | None = None


def template_name(benchmark: Benchmark, shots: int) -> str:
    """The template a benchmark uses; MMLU has another one behind shots."""
    return "mmlu_few_shot" if benchmark is Benchmark.MMLU and shots else benchmark.value


def builtin_template(name: str) -> Path:
    """The project's own template file."""
    return FOLDER / f"{name}.txt"


def load_template(name: str, source: str, text: str) -> PromptTemplate:
    """Parse a template by the name of its benchmark; ConfigError when it does not fit it."""
    placeholders, options = TEMPLATES[name]
    return parse_template(source, text, placeholders, options)


_ONE_FILE: dict[Benchmark, Callable[[Path], list[BenchmarkQuestion]]] = {
    Benchmark.TRUTHFULQA_MC1: truthfulqa.read_truthfulqa,
    Benchmark.LAMBADA: lambada.read_lambada,
}


def read_questions(benchmark: Benchmark, files: Sequence[Path], items: int | None = None) -> list[BenchmarkQuestion]:
    """The questions of a benchmark's files, the first `items` of each group.

    Raises:
        ConfigError: a file is missing, damaged, of another benchmark, or holds nothing.
    """
    match benchmark:
        case Benchmark.MMLU:
            questions = mmlu.read_mmlu(files)
        case Benchmark.STATIC_HHH:
            questions = static_hhh.read_static_hhh(*files)
        case _:
            questions = _ONE_FILE[benchmark](files[0])
    if items is None:
        return questions
    taken: dict[str | None, int] = {}
    first = []
    for question in questions:
        taken[question.group] = taken.get(question.group, 0) + 1
        if taken[question.group] <= items:
            first.append(question)
    return first


def ask(
    benchmark: Benchmark,
    questions: Sequence[BenchmarkQuestion],
    files: Sequence[Path],
    template: PromptTemplate,
    settings: Settings,
    tokenizer: Any = None,
) -> list[ChoiceItem]:
    """Prompts and options of the questions; chat style needs the model's tokenizer."""
    rendering = Rendering(settings.style, tokenizer)
    match benchmark:
        case Benchmark.STATIC_HHH:
            return static_hhh.ask_static_hhh(questions, template, rendering)
        case Benchmark.TRUTHFULQA_MC1:
            return truthfulqa.ask_truthfulqa(questions, template, rendering)
        case Benchmark.LAMBADA:
            return lambada.ask_lambada(questions, template, rendering)
        case Benchmark.MMLU:
            development = mmlu.read_mmlu(files, "dev") if settings.shots else []
            return mmlu.ask_mmlu(questions, template, rendering, development, settings.shots)
        case Benchmark.PREFERENCES:
            raise ValueError("preference files are for reward models; they have no prompt")
