"""The paper's effects in the tiny world, as differences with intervals (not in the paper)."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping

from data_contracts.rows.rows import Rows, rows_of, stream
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.effects import Effect, EffectQuestion
from data_contracts.tables.evaluations import EvaluatedItem, evaluated_item
from models.evaluation.judging.order_agreement import VERDICTS, agreements
from models.evaluation.statistics.cluster_bootstrap import difference_of_means
from models.tiny_world.questions import parse_question
from tasks.runtime.phases import Phase
from tasks.runtime.step import step

log = logging.getLogger("almost.effects")
BENCHMARK_AGREEMENT = "comparison_agreement"
Subject = tuple[str, str]  # name of a table of evaluations, and a subject in it


@step(version="2", phase=Phase.EVALUATION)
def judge_comparisons_by_gold(*, comparisons: Rows[Comparison], gold: Rows[EvaluatedItem]) -> Rows[EvaluatedItem]:
    """Whether gold agrees with the assumed order: subject `all`, `heuristic` (passed that filter) and `kept`."""
    score = {item.item_id: item.value for item in gold}

    def judged() -> Iterator[EvaluatedItem]:
        for subject, belongs in VERDICTS.items():
            for comparison, agrees in agreements(filter(belongs, comparisons), score):
                yield evaluated_item(
                    BENCHMARK_AGREEMENT,
                    subject,
                    comparison.comparison_id,
                    comparison.query,
                    "agreement",
                    float(agrees),
                )

    return stream(EvaluatedItem, judged)


@step(version="3", phase=Phase.EVALUATION)
def measure_effects(
    *, questions: list[EffectQuestion], tables: Mapping[str, Rows[EvaluatedItem]], seed: int
) -> Rows[Effect]:
    """Answer every question; rows are clustered by the person or task that their prompt asks about.

    A question without rows on one side has no answer: it is absent, and the log says so.
    """
    by_subject: dict[Subject, list[tuple[str, EvaluatedItem]]] = defaultdict(list)
    for name, table in tables.items():
        for item in table:
            asked = parse_question(item.prompt)
            by_subject[name, item.subject].append((asked.subject if asked else item.prompt, item))
    measured = (_measure(question, by_subject, seed) for question in questions)
    return rows_of(Effect, [effect for effect in measured if effect is not None])


def _measure(
    question: EffectQuestion, by_subject: Mapping[Subject, list[tuple[str, EvaluatedItem]]], seed: int
) -> Effect | None:
    """The difference that a question asks for; None where one side has no rows."""
    first, second = (
        [
            (cluster, item.value)
            for cluster, item in by_subject.get(side, ())
            if item.value is not None and question.group in (None, item.group)
        ]
        for side in ((question.first, question.first_subject), (question.second, question.second_subject))
    )
    if not first or not second:
        log.warning("measure_effects: nothing to compare for '%s', %s", question.effect, question.arm)
        return None
    found = difference_of_means(first, second, seed)
    return Effect(
        effect_id=f"{question.effect}|{question.arm}",
        effect=question.effect,
        arm=question.arm,
        first_mean=found.first_mean,
        second_mean=found.second_mean,
        difference=found.value,
        low=found.low,
        high=found.high,
        first_rows=len(first),
        second_rows=len(second),
        clusters=found.clusters,
    )
