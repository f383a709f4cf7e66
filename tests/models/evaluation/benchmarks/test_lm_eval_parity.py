"""lm-evaluation-harness says the same of the same items, read from the task folder that the project exports."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from models.engines.transformers_engine import TransformersEngine
from models.evaluation.benchmarks.benchmark import Settings
from models.evaluation.benchmarks.catalogue import BENCHMARKS
from models.evaluation.benchmarks.choice_items import ChoiceItem, score_items
from models.evaluation.benchmarks.lm_eval_tasks import export_task
from models.evaluation.benchmarks.prompt_template import builtin_template
from tasks.inputs.resolve_benchmarks import find_files
from tests.models.evaluation.benchmarks.real_data import DATA, needs_data

pytestmark = [pytest.mark.slow, needs_data]
ASKED = {
    "static_hhh": ("static_hhh", Settings(items=3)),
    "truthfulqa_mc1": ("truthfulqa_mc1", Settings(items=6)),
    "mmlu": ("mmlu", Settings(items=1)),
    "mmlu_5shot": ("mmlu", Settings(shots=5, items=1)),
    "lambada": ("lambada", Settings(items=12)),
}
CLOSE, NEAR_TIE = 1e-3, 2e-3


def items_of(name: str) -> list[ChoiceItem]:
    benchmark, settings = BENCHMARKS[ASKED[name][0]], ASKED[name][1]
    files = find_files(benchmark.data, DATA)
    path = builtin_template(benchmark.template_name(settings.shots))
    template = benchmark.parse_template(str(path), path.read_text())
    return benchmark.items(benchmark.questions(files, settings.items)[:12], files, template, settings)


@contextmanager
def quiet() -> Iterator[None]:
    """lm-eval and its dependencies warn; here warnings are errors."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def by_lm_eval(model: Path, folder: Path, tasks: list[str]) -> dict[str, list[dict[str, Any]]]:
    with quiet():
        harness: Any = importlib.import_module("lm_eval")
        model_class: Any = importlib.import_module("lm_eval.models.huggingface").HFLM
        tasks_module: Any = importlib.import_module("lm_eval.tasks")
        peer = model_class(pretrained=str(model), device="cpu", dtype="float32", add_bos_token=True, batch_size=1)
        manager = tasks_module.TaskManager(include_path=str(folder), include_defaults=False)
        found = harness.simple_evaluate(
            peer, tasks=tasks, task_manager=manager, log_samples=True, bootstrap_iters=0, cache_requests=False
        )
    assert found is not None
    return {name: sorted(samples, key=lambda s: s["doc_id"]) for name, samples in found["samples"].items()}


@pytest.mark.parametrize("kind", ["random Llama, 4k context", "tiny world"])
def test_log_likelihoods_and_answers_agree(kind: str, tmp_path: Path, request: pytest.FixtureRequest):
    folder = request.getfixturevalue("long_model" if kind.startswith("random") else "world_model")
    names = list(ASKED) if kind.startswith("random") else ["truthfulqa_mc1", "lambada"]
    engine = TransformersEngine(folder)
    items = {name: items_of(name) for name in names}
    tasks = {name: export_task(tmp_path / "tasks", name, own) for name, own in items.items()}
    samples = by_lm_eval(folder, tmp_path / "tasks", list(tasks.values()))
    for name, task in tasks.items():
        rows = score_items(engine, items[name], name, "model")
        assert all(row.skipped_because is None for row in rows)
        theirs = [[(float(r[0]), bool(r[1])) for r in sample["filtered_resps"]] for sample in samples[task]]
        ours = [score for row in rows for score in row.option_scores or ()]
        flat = [score for sample in theirs for score, _ in sample]
        assert ours == pytest.approx(flat, abs=CLOSE), name
        if name == "lambada":
            assert [row.value for row in rows] == [float(greedy) for ((_, greedy),) in theirs]
        elif name != "truthfulqa_mc1":  # there the harness sees single answers
            for row, sample in zip(rows, samples[task], strict=True):
                first, second = sorted(row.option_scores or (), reverse=True)[:2]
                assert first - second < NEAR_TIE or row.value == sample["acc"], (name, row.item_id)
