"""Benchmarks as steps: items in order and in shards, and what a reward model can choose among."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config.engine import EngineConfig
from data_contracts.config.evaluation import BenchmarkSettings
from data_contracts.errors import ConfigError
from data_contracts.folder_contracts import RewardCheckpoint
from data_contracts.handles import BenchmarkHandle, ModelHandle
from data_contracts.store.artifact_store import Store
from data_contracts.store.stored import Folder
from data_contracts.tables.evaluations import EvaluatedItem
from tasks.evaluation import evaluate_benchmark as module
from tasks.evaluation.evaluate_benchmark import evaluate_benchmark, reward_benchmark
from tasks.inputs.resolve_benchmarks import resolve_benchmarks
from tasks.runtime.loaded_models import as_model


@pytest.fixture
def truthfulqa(tmp_path: Path) -> BenchmarkHandle:
    """Five questions with two answers each."""
    folder = tmp_path / "data" / "truthfulqa"
    folder.mkdir(parents=True)
    rows = [{"question": f"Q{n}?", "mc1_targets": {"Yes.": 1, "No.": 0}} for n in range(5)]
    (folder / "mc_task.json").write_text(json.dumps(rows))
    settings = BenchmarkSettings(names=("truthfulqa_mc1",), folder=str(tmp_path / "data"))
    (handle,) = resolve_benchmarks(settings)
    return handle


def test_a_model_answers_in_shards_as_at_once(
    truthfulqa: BenchmarkHandle,
    tiny_model: ModelHandle,
    compute: Callable[..., Any],
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
):
    given: dict[str, Any] = {"subject": "sft", "model": tiny_model, "benchmark": truthfulqa, "engine": EngineConfig()}
    at_once = list(evaluate_benchmark.fn(**given))
    assert [(item.item_id, item.options) for item in at_once] == [(f"{n:04d}", ("Yes.", "No.")) for n in range(5)]
    assert {item.benchmark for item in at_once} == {"truthfulqa_mc1"}
    assert EvaluatedItem.to_table(at_once).num_rows == 5
    monkeypatch.setattr(module, "SHARD_ITEMS", 2)
    stored = compute(evaluate_benchmark, **given)
    cost = store.cost(stored.artifact)
    assert cost is not None
    assert cost.counters["shards_computed"] == 3
    assert [(item.evaluation_id, item.value) for item in stored] == [
        (item.evaluation_id, item.value) for item in at_once
    ]


def test_a_reward_model_chooses_the_answer_of_the_highest_reward(
    truthfulqa: BenchmarkHandle, reward_checkpoint: Folder[RewardCheckpoint]
):
    model = as_model("reward", reward_checkpoint)
    items = reward_benchmark.fn(subject="reward", model=model, benchmark=truthfulqa, engine=EngineConfig())
    assert len(items) == 5
    for item in items:
        assert item.option_scores is not None
        assert item.value == float(item.option_scores[0] > item.option_scores[1])


def test_a_benchmark_that_the_worker_does_not_know_is_named(truthfulqa: BenchmarkHandle, tiny_model: ModelHandle):
    unknown = truthfulqa.model_copy(update={"name": "chess"})
    with pytest.raises(ConfigError, match="unknown benchmark 'chess'; known: static_hhh"):
        evaluate_benchmark.fn(subject="sft", model=tiny_model, benchmark=unknown, engine=EngineConfig())
