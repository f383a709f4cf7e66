"""A model's answers to one benchmark: one row per item, with the score of every option (ALMoST section 3, Appendix E)."""

from pathlib import Path
from typing import Any

from data_contracts.config.engine import EngineConfig
from data_contracts.handles import BenchmarkHandle, ModelHandle
from data_contracts.store.artifact import Artifact
from data_contracts.tables.evaluations import EvaluatedItem
from models.evaluation.benchmarks.catalogue import Benchmark, Settings, ask, load_template, read_questions
from models.evaluation.benchmarks.choice_items import score_items
from models.evaluation.benchmarks.prompt_template import PromptStyle
from models.evaluation.benchmarks.reward_items import reward_questions
from tasks.runtime.context import ProgressReporter, count, current
from tasks.runtime.loaded_models import LazyEngine, folder_of, open_reward_folder
from tasks.runtime.shards import shard_ranges, write_missing_shards
from tasks.runtime.step import step

SHARD_ITEMS = 512


@step(version="1", run_name="{benchmark.name}-{subject}")
def evaluate_benchmark(
    subject: str, model: ModelHandle, benchmark: BenchmarkHandle, engine: EngineConfig
) -> Artifact[EvaluatedItem]:
    """Multiple choice by likelihood; items longer than the model's context keep their row and say so."""
    kind, files = Benchmark(benchmark.name), _paths(benchmark)
    settings = Settings(benchmark.shots, PromptStyle(benchmark.style), benchmark.items)
    template = load_template(benchmark.template.name, benchmark.template.source, benchmark.template.text)
    questions = read_questions(kind, files, benchmark.items)
    items = ask(kind, questions, files, template, settings, _tokenizer(model, settings))
    lazy = LazyEngine(model, engine)
    ranges = shard_ranges(len(items), SHARD_ITEMS)
    progress = ProgressReporter(len(items), "items")

    def score(shard: int) -> list[dict[str, Any]]:
        return score_items(lazy.open(), items[slice(*ranges[shard])], benchmark.title, subject)

    parts = write_missing_shards(
        EvaluatedItem, current().key, len(ranges), score, lambda shard: progress.update(ranges[shard][1])
    )
    lazy.count_tokens()
    return write_parts(EvaluatedItem, parts)


def _paths(benchmark: BenchmarkHandle) -> list[Path]:
    return [Path(file.path) for file in benchmark.files]


def _tokenizer(model: ModelHandle, settings: Settings) -> Any:
    if settings.style is PromptStyle.PLAIN:
        return None
    from models.lm.load_model import open_tokenizer

    return open_tokenizer(folder_of(model))[0]


@step(version="1", run_name="{benchmark.name}-{subject}")
def reward_benchmark(
    subject: str, model: ModelHandle, benchmark: BenchmarkHandle, engine: EngineConfig
) -> Artifact[EvaluatedItem]:
    """A reward model's choices: the answer with the highest reward (row "RM" of Table 1)."""
    questions = read_questions(Benchmark(benchmark.name), _paths(benchmark), benchmark.items)
    rows = reward_questions(open_reward_folder(model, engine), questions, benchmark.title, subject)
    count(items_too_long=sum(row["value"] is None for row in rows))
    return write(EvaluatedItem, EvaluatedItem.from_rows(rows))
