"""How much faster is MMLU than with lm-eval 0.4.13, zero-shot and behind five shots, through `almost evaluate`'s scorer?

The model of `option_scoring`, the project's own prompts, and everything from items to evaluated items on our
side; lm-eval runs `HFLM.loglikelihood` on the same texts, which shares one forward among the one-token options of a
context, at its better batch size of two. Log-likelihoods must agree, and answers wherever they are no near-tie.
"""

import os
from pathlib import Path
from typing import Any

from benchmarks._measuring import interleaved, timed
from benchmarks.option_scoring import PEER_BATCHES, SUBJECTS, engine_folder, fresh, open_lm_eval
from data_contracts.tables.evaluations import EvaluatedItem
from models.engines.transformers_engine import TransformersEngine
from models.evaluation.benchmarks.benchmark import Settings
from models.evaluation.benchmarks.choice_items import ChoiceItem, score_items
from models.evaluation.benchmarks.mmlu import MMLU
from models.evaluation.benchmarks.prompt_template import builtin_template

CLOSE, NEAR_TIE = 1e-3, 2e-3


def measure(questions: int = 24, rounds: int = 3) -> dict[str, Any]:
    """Ratios of CPU seconds and questions per CPU second; `questions` is per subject."""
    figures: dict[str, Any] = {"questions": questions * len(SUBJECTS)}
    with engine_folder() as folder:
        engine, peer = TransformersEngine(folder, batch_size=questions, threads=1), open_lm_eval(folder)
        for shots in (0, 5):
            figures |= _compare(engine, peer, read_items(shots, questions), rounds, f"{shots}shot")
    return figures


def _compare(engine: TransformersEngine, peer: Any, items: list[ChoiceItem], rounds: int, name: str) -> dict[str, Any]:
    score_items(engine, items[:1], "mmlu", "model")
    some = items[: max(PEER_BATCHES)]
    batch = min(PEER_BATCHES, key=lambda size: timed(lambda: by_lm_eval(peer, some, size))[1].cpu_s)
    results, seconds = interleaved(
        {
            "ours": lambda _: score_items(fresh(engine), items, "mmlu", "model"),
            "peer": lambda _: by_lm_eval(peer, items, batch),
        },
        rounds,
    )
    worst = max(_difference(result["ours"], result["peer"]) for result in results)
    return {
        f"{name}_ratio": round(seconds["peer"].cpu_s / seconds["ours"].cpu_s, 2),
        f"{name}_ratio_wall": round(seconds["peer"].wall_s / seconds["ours"].wall_s, 2),
        f"{name}_questions_per_cpu_s": round(len(items) / seconds["ours"].cpu_s, 1),
        f"{name}_peer_questions_per_cpu_s": round(len(items) / seconds["peer"].cpu_s, 1),
        f"{name}_peer_batch": batch,
        f"{name}_loglikelihood_difference": float(f"{worst:.1e}"),
    }


def _difference(rows: list[EvaluatedItem], theirs: list[list[float]]) -> float:
    for row, scores in zip(rows, theirs, strict=True):
        first, second = sorted(scores, reverse=True)[:2]
        right = scores.index(first) == row.correct_option
        assert first - second < NEAR_TIE or row.value == right, f"another answer to {row.item_id}"
    worst = max(
        abs(a - b)
        for row, scores in zip(rows, theirs, strict=True)
        for a, b in zip(row.option_scores or (), scores, strict=True)
    )
    assert worst < CLOSE, f"log-likelihoods differ by {worst}"
    return worst


def read_items(shots: int, questions: int) -> list[ChoiceItem]:
    """The first questions of four subjects, as the project asks them."""
    folder = Path(os.environ.get("ALMOST_DATA", "../shared/data")) / "mmlu"
    if not folder.is_dir():
        raise SystemExit(f"mmlu needs {folder}; set ALMOST_DATA to the folder that holds mmlu/")
    files = [path for subject in SUBJECTS for path in sorted(folder.glob(f"*/{subject}_*.csv"))]
    path = builtin_template(MMLU.template_name(shots))
    template = MMLU.parse_template(str(path), path.read_text(encoding="utf-8"))
    return MMLU.items(MMLU.questions(files, questions), files, template, Settings(shots=shots))


def by_lm_eval(peer: Any, items: list[ChoiceItem], batch: int) -> list[list[float]]:
    """Log-likelihoods by lm-eval, per item."""
    from lm_eval.api.instance import Instance

    peer.batch_size_per_gpu = batch
    requests = [
        Instance("loglikelihood", {}, (item.prefix + choice.context, choice.option), place)
        for item in items
        for place, choice in enumerate(item.choices)
    ]
    found = iter([value for value, _ in peer.loglikelihood(requests, disable_tqdm=True)])
    return [[next(found) for _ in item.choices] for item in items]
