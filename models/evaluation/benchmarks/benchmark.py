"""What a benchmark is: one object that knows its files, how they are read, how a model is asked, and its published figures.

Each benchmark's module makes its own object, and `catalogue.py` lists them; nothing else in the project names one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from data_contracts.errors import ConfigError
from models.evaluation.benchmarks.choice_items import ChoiceItem
from models.evaluation.benchmarks.prompt_template import PromptStyle, PromptTemplate, Rendering, parse_template
from models.evaluation.benchmarks.questions import BenchmarkQuestion

ALL = "all"  # the group of every item, in figures and tables
PUBLISHED_BASE = "LLaMA 7B"  # the paper's base model


@dataclass(frozen=True)
class DataFiles:
    """Where the files of a data set lie.

    Args:
        patterns: below a data folder; the first set of patterns that finds files counts.
        hub: the public copy, as sources of data sets on the Hub.
    """

    name: str
    patterns: tuple[tuple[str, ...], ...]
    hub: tuple[str, ...]


@dataclass(frozen=True)
class PaperColumns:
    """A benchmark's columns in one of the paper's tables.

    Args:
        table: the table's title; benchmarks with one title stand side by side.
        columns: headings, and the group of items that each is about.
        published: the paper's figures in percent by model, one per column.
    """

    table: str
    columns: tuple[tuple[str, str], ...]
    published: Mapping[str, tuple[float, ...]]

    def published_losses(self) -> dict[str, float]:
        """Points of accuracy over all items that the paper's models lost against its base; none where it gives no base."""
        groups = [group for _, group in self.columns]
        if ALL not in groups or PUBLISHED_BASE not in self.published:
            return {}
        overall = {model: figures[groups.index(ALL)] for model, figures in self.published.items()}
        base = overall.pop(PUBLISHED_BASE)
        return {model: base - figure for model, figure in overall.items()}


@dataclass(frozen=True)
class WorkedExamples:
    """Solved questions to show in front of an item: how they are read, and how items are asked behind them."""

    read: Callable[[Sequence[Path]], list[BenchmarkQuestion]]
    ask: Callable[
        [Sequence[BenchmarkQuestion], PromptTemplate, Rendering, Sequence[BenchmarkQuestion], int], list[ChoiceItem]
    ]


@dataclass(frozen=True)
class Settings:
    """How a benchmark is asked; `items` limits the questions, per group (subject of MMLU, split of HHH)."""

    shots: int = 0
    style: PromptStyle = PromptStyle.PLAIN
    items: int | None = None


@dataclass(frozen=True, eq=False)
class Benchmark:
    """A set of questions with known answers.

    Args:
        title: its name for people.
        data: where its files lie.
        read: questions of its files.
        ask: questions as items of multiple choice, each in the words of a template.
        placeholders: those of its template, `templates/NAME.txt`.
        options: how many options the template names; 0 where the questions bring their own.
        paper: its place in the paper's tables.
        for_reward_models: whether a reward model can choose among its answers too.
        examples: for prompts with shots, whose template is `NAME_few_shot`; None: it is asked without.
        larger_groups: a question's group -> the larger group that it belongs to.
    """

    title: str
    data: DataFiles
    read: Callable[[Sequence[Path]], list[BenchmarkQuestion]]
    ask: Callable[[Sequence[BenchmarkQuestion], PromptTemplate, Rendering], list[ChoiceItem]]
    placeholders: tuple[str, ...]
    options: int
    paper: PaperColumns
    for_reward_models: bool = False
    examples: WorkedExamples | None = None
    larger_groups: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name in profiles, keys and tables."""
        return self.data.name

    def template_names(self) -> tuple[str, ...]:
        """Its templates: without shots and, where it has examples, behind shots."""
        return (self.name, f"{self.name}_few_shot") if self.examples else (self.name,)

    def template_name(self, shots: int) -> str:
        """The template for so many shots."""
        return self.template_names()[-1 if shots else 0]

    def parse_template(self, source: str, text: str) -> PromptTemplate:
        """A template file's text; ConfigError when it does not fit the benchmark. `source` is for messages."""
        return parse_template(source, text, self.placeholders, self.options)

    def questions(self, files: Sequence[Path], items: int | None = None) -> list[BenchmarkQuestion]:
        """The questions of its files, the first `items` of each group.

        Raises:
            ConfigError: a file is missing, damaged, of another benchmark, or holds nothing.
        """
        questions = self.read(files)
        if items is None:
            return questions
        taken: dict[str | None, int] = {}
        first = []
        for question in questions:
            taken[question.group] = taken.get(question.group, 0) + 1
            if taken[question.group] <= items:
                first.append(question)
        return first

    def items(
        self,
        questions: Sequence[BenchmarkQuestion],
        files: Sequence[Path],
        template: PromptTemplate,
        settings: Settings,
        tokenizer: Any = None,
    ) -> list[ChoiceItem]:
        """Prompts and options of the questions; examples come from `files`; chat style needs the model's tokenizer.

        Raises:
            ConfigError: there are fewer examples than shots, or the tokenizer has no chat template.
        """
        rendering = Rendering(settings.style, tokenizer)
        if not settings.shots:
            return self.ask(questions, template, rendering)
        if self.examples is None:
            raise ConfigError(f"{self.name} has no examples to show; set its shots to 0")
        return self.examples.ask(questions, template, rendering, self.examples.read(files), settings.shots)


def paper_layout(benchmarks: Sequence[Benchmark]) -> dict[str, list[Benchmark]]:
    """The benchmarks of each of the paper's tables, in order, by the table's title."""
    return {title: list(own) for title, own in groupby(benchmarks, key=lambda benchmark: benchmark.paper.table)}
