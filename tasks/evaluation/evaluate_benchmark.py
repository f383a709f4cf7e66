"""A model's answers to one benchmark: one row per item, with the score of every option (ALMoST section 3, Appendix E)."""

from pathlib import Path
from typing import Any

from data_contracts.config.engine import EngineConfig
from data_contracts.handles import BenchmarkHandle, ModelHandle
from data_contracts.rows.rows import Rows, Sharded, rows_of, shard_ranges
from data_contracts.tables.evaluations import EvaluatedItem
from models.evaluation.benchmarks.benchmark import Benchmark, Settings
from models.evaluation.benchmarks.catalogue import benchmark_named
from models.evaluation.benchmarks.choice_items import score_items
from models.evaluation.benchmarks.prompt_template import PromptStyle
from models.evaluation.benchmarks.reward_items import reward_questions
from tasks.runtime.context import ProgressReporter, count
from tasks.runtime.loaded_models import LazyEngine, folder_of, open_reward_model
from tasks.runtime.phases import Phase
from tasks.runtime.shards import compute_shards
from tasks.runtime.step import step

SHARD_ITEMS = 512
FIELD = "benchmark"


@step(version="2", phase=Phase.EVALUATION, heavy=True, run_name="{benchmark.name}-{subject}")
def evaluate_benchmark(
    *, subject: str, model: ModelHandle, benchmark: BenchmarkHandle, engine: EngineConfig
) -> Sharded[EvaluatedItem]:
    """Multiple choice by likelihood; items longer than the model's context keep their row and say so."""
    asked, files = _resolved(benchmark)
    settings = Settings(benchmark.shots, PromptStyle(benchmark.style), benchmark.items)
    template = asked.parse_template(benchmark.template.source, benchmark.template.text)
    questions = asked.questions(files, benchmark.items)
    items = asked.items(questions, files, template, settings, _tokenizer(model, settings))
    lazy = LazyEngine(model, engine)
    progress = ProgressReporter(len(items), "items")
    scored = compute_shards(
        EvaluatedItem,
        shard_ranges(len(items), SHARD_ITEMS),
        lambda places: score_items(lazy.open(), items[places.start : places.stop], benchmark.title, subject),
        progress.update,
    )
    lazy.count_tokens()
    return scored


def _resolved(benchmark: BenchmarkHandle) -> tuple[Benchmark, list[Path]]:
    return benchmark_named(benchmark.name, FIELD), [Path(file.path) for file in benchmark.files]


def _tokenizer(model: ModelHandle, settings: Settings) -> Any:
    if settings.style is PromptStyle.PLAIN:
        return None
    from models.lm.load_model import open_tokenizer

    return open_tokenizer(folder_of(model))[0]


@step(version="2", phase=Phase.EVALUATION, heavy=True, run_name="{benchmark.name}-{subject}")
def reward_benchmark(
    *, subject: str, model: ModelHandle, benchmark: BenchmarkHandle, engine: EngineConfig
) -> Rows[EvaluatedItem]:
    """A reward model's choices: the answer with the highest reward (row "RM" of Table 1)."""
    asked, files = _resolved(benchmark)
    questions = asked.questions(files, benchmark.items)
    items = reward_questions(open_reward_model(model, engine), questions, benchmark.title, subject)
    count(items_too_long=sum(item.value is None for item in items))
    return rows_of(EvaluatedItem, items)
