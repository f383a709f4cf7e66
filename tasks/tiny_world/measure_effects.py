"""The paper's effects in the tiny world, as differences with intervals (TINY_WORLD.md; not in the paper)."""

import logging
from collections.abc import Mapping

from data_contracts.store.artifact import Artifact
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.effects import Effect, EffectQuestion
from data_contracts.tables.evaluations import EvaluatedItem, evaluation_row
from models.evaluation.statistics.cluster_bootstrap import difference_of_means
from models.tiny_world.questions import parse_question
from tasks.runtime.step import step
from tasks.tiny_world.gold_agreement import VERDICTS, agreements

log = logging.getLogger("almost.effects")
BENCHMARK_AGREEMENT = "comparison_agreement"


@step(version="1")
def judge_comparisons_by_gold(
    comparisons: Artifact[Comparison], gold: Artifact[EvaluatedItem]
) -> Artifact[EvaluatedItem]:
    """Whether gold agrees with the assumed order: subject `all`, `heuristic` (passed that filter) and `kept`."""
    table = read(EvaluatedItem, gold)
    score = dict(zip(table["item_id"].to_pylist(), table["value"].to_pylist(), strict=True))
    rows = [
        evaluation_row(BENCHMARK_AGREEMENT, subject, row["comparison_id"], row["query"], "agreement", float(agrees))
        for subject, belongs in VERDICTS.items()
        for row, agrees in agreements([row for row in read(Comparison, comparisons).to_pylist() if belongs(row)], score)
    ]
    return write(EvaluatedItem, EvaluatedItem.from_rows(rows))


@step(version="2")
def measure_effects(
    questions: list[EffectQuestion], tables: Mapping[str, Artifact[EvaluatedItem]], seed: int
) -> Artifact[Effect]:
    """Answer every question; rows are clustered by the person or task that their prompt asks about.

    A question without rows on one side has no answer: it is absent, and the log says so.
    """
    by_subject: dict[tuple[str, str], list[tuple[str, float, str | None]]] = {}
    for name, artifact in tables.items():
        for row in read(EvaluatedItem, artifact).to_pylist():
            asked = parse_question(row["prompt"])
            cluster = asked.subject if asked else row["prompt"]
            by_subject.setdefault((name, row["subject"]), []).append((cluster, row["value"], row["group"]))
    rows = []
    for question in questions:
        first, second = (
            [(cluster, value) for cluster, value, group in by_subject.get(side, ()) if question.group in (None, group)]
            for side in ((question.first, question.first_subject), (question.second, question.second_subject))
        )
        if not first or not second:
            log.warning("measure_effects: nothing to compare for '%s', %s", question.effect, question.arm)
            continue
        found = difference_of_means(first, second, seed)
        rows.append(
            {
                "effect_id": f"{question.effect}|{question.arm}",
                "effect": question.effect,
                "arm": question.arm,
                "first_mean": found.first_mean,
                "second_mean": found.second_mean,
                "difference": found.value,
                "low": found.low,
                "high": found.high,
                "first_rows": len(first),
                "second_rows": len(second),
                "clusters": found.clusters,
            }
        )
    return write(Effect, Effect.from_rows(rows))
