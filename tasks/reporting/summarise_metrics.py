"""The run's headline metrics, computed from its tables. Each is a mean over rows that anyone can recompute.

Titles and units of the metrics: `metric_titles.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from data_contracts.rows.arrow import compute as pc
from data_contracts.rows.rows import Rows, joined
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.demonstrations import Demonstration
from data_contracts.tables.effects import Effect
from data_contracts.tables.evaluation_texts import OVERLAP, ContaminationVerdict
from data_contracts.tables.evaluations import EvaluatedItem
from data_contracts.tables.queries import Query, RejectedQuery
from data_contracts.tables.reward_scores import PairSplit, RewardScore
from data_contracts.tables.rollouts import Rollout
from data_contracts.tables.topic_scores import TopicScore
from data_contracts.tables.verdicts import JudgeVerdict, ModelAnswer, Outcome
from models.evaluation.alignment_tax import Taxes, alignment_tax
from models.evaluation.benchmarks.benchmark import ALL
from models.evaluation.benchmarks.catalogue import benchmark_of
from models.evaluation.generation_failures import failure_rates
from models.evaluation.judging.order_agreement import VERDICTS, agreements
from models.evaluation.judging.verdict_arithmetic import JudgingSummary, summarise_verdicts
from models.evaluation.statistics.aggregates import aggregate
from models.evaluation.statistics.intervals import Estimate
from tasks.reporting.column_figures import counts, mean

Evaluated = Sequence[Rows[EvaluatedItem]]


def mining_metrics(queries: Rows[Query], rejected: Rows[RejectedQuery]) -> dict[str, float]:
    """Share of generations that became queries, and rejections by reason."""
    reasons, kept = counts(rejected, "rejected_because"), len(queries)
    metrics = {"queries.kept": float(kept), "queries.acceptance": kept / (kept + reasons.total())}
    return metrics | {f"queries.rejected.{reason}": float(number) for reason, number in reasons.items()}


def contamination_metrics(verdicts: Rows[ContaminationVerdict]) -> dict[str, float]:
    """How many queries were compared with how many evaluation texts, and overlapped; absent where there were no texts."""
    texts = checked = overlapping = in_use = 0
    for table in verdicts.columns("texts_checked", "verdict", "kept"):
        overlaps = pc.equal(table["verdict"], OVERLAP)
        texts = max(texts, pc.max(table["texts_checked"]).as_py() or 0)
        checked += table.num_rows
        overlapping += _number(overlaps)
        in_use += _number(pc.and_(overlaps, table["kept"]))
    if not texts:
        return {}
    return {
        "contamination.texts": float(texts),
        "contamination.queries_checked": float(checked),
        "contamination.overlapping": float(overlapping),
        "contamination.in_use": float(in_use),
    }


def comparison_metrics(comparisons: Rows[Comparison], gold: Rows[EvaluatedItem] | None) -> dict[str, float]:
    """Comparisons made and kept; in the tiny world, how often gold agrees with the assumed order."""
    kept = counts(comparisons, "kept")
    metrics = {"comparisons.all": float(kept.total()), "comparisons.kept": float(kept[True])}
    if gold is None:
        return metrics
    score = dict(zip(gold.column("item_id"), gold.column("value"), strict=True))
    right, decided = dict.fromkeys(VERDICTS, 0), dict.fromkeys(VERDICTS, 0)
    for comparison, agrees in agreements(comparisons, score):
        for name, belongs in VERDICTS.items():
            if belongs(comparison):
                right[name] += agrees
                decided[name] += 1
    shares = {name: right[name] / number for name, number in decided.items() if number}
    return metrics | {f"comparisons.gold_agreement.{name}": share for name, share in shares.items()}


def reward_metrics(name: str, scores: Rows[RewardScore]) -> dict[str, float]:
    """Accuracy of a reward model on its held-out pairs, and of "the longer one wins" on the same pairs."""
    pairs, right, longer = 0, _Wins(), _Wins()
    for table in scores.tables():
        heldout = table.filter(pc.equal(table["split"], PairSplit.HELDOUT.value))
        pairs += heldout.num_rows
        right.add(heldout["chosen_score"], heldout["rejected_score"])
        longer.add(heldout["chosen_chars"], heldout["rejected_chars"])
    if not pairs:
        return {}
    return {
        f"{name}.heldout_pairs": float(pairs),
        f"{name}.heldout_accuracy": right.share(pairs),
        f"{name}.longer_wins_accuracy": longer.share(pairs),
    }


@dataclass
class _Wins:
    """How often the first of two columns is higher; a tie counts one half."""

    higher: int = 0
    equal: int = 0

    def add(self, first: pa.ChunkedArray, second: pa.ChunkedArray) -> None:
        self.higher += _number(pc.greater(first, second))
        self.equal += _number(pc.equal(first, second))

    def share(self, of: int) -> float:
        return self.higher / of + 0.5 * (self.equal / of)


def _number(holds: pa.ChunkedArray) -> int:
    """Rows of which it holds."""
    return pc.sum(holds).as_py() or 0


def policy_metrics(
    demonstrations: Rows[Demonstration], rollouts: Rows[Rollout] | None, algorithm: str = "ppo"
) -> dict[str, float]:
    """Usable demonstrations, and reward-model score and KL in the first and last tenth of the steps that sampled."""
    metrics = {"demonstrations.usable": float(counts(demonstrations, "usable")[True])}
    if rollouts is None:
        return metrics
    last = max(counts(rollouts, "step"))
    tenth = max(1, (last + 1) // 10)
    return metrics | {
        f"{algorithm}.score.first": mean(rollouts, "score", "step", 0, tenth),
        f"{algorithm}.score.last": mean(rollouts, "score", "step", last - tenth + 1, last),
        f"{algorithm}.kl.last": mean(rollouts, "kl", "step", last - tenth + 1, last),
    }


def evaluation_metrics(tables: Evaluated) -> dict[str, float]:
    """Mean value with its interval of 95%, and the number of items, per benchmark and subject and its main groups."""
    metrics: dict[str, float] = {}
    for figure in aggregate(joined(EvaluatedItem, tables)):
        benchmark = benchmark_of(figure.benchmark)
        if benchmark is not None and figure.group in benchmark.larger_groups:  # e.g. one of MMLU's 57 subjects
            continue
        group = "" if figure.group == ALL else f".{figure.group.replace(' ', '_')}"
        name = f"{figure.benchmark}{group}.{figure.subject}"
        if figure.skipped:
            metrics[f"{name}.skipped"] = float(figure.skipped)
        if figure.estimate is not None:
            metrics[name] = figure.estimate.value
            metrics[f"{name}.low"], metrics[f"{name}.high"] = figure.estimate.low, figure.estimate.high
            metrics[f"{name}.n"] = float(figure.estimate.items)
    return metrics


def effect_metrics(effects: Rows[Effect]) -> dict[str, float]:
    """The study's differences by effect and arm."""
    return {row.effect_id: row.difference for row in effects}


def summarise_judging(tables: Sequence[Rows[JudgeVerdict]]) -> dict[str, JudgingSummary]:
    """Figures of each pair of subjects, named `A against B`."""
    summaries = {}
    for table in tables:
        first = next(iter(table), None)
        if first is not None:
            summaries[f"{first.subject_a} against {first.subject_b}"] = summarise_verdicts(table)
    return summaries


def judging_metrics(summaries: dict[str, JudgingSummary]) -> dict[str, float]:
    """Counts of combined outcomes, and the rates that could be measured, with their intervals."""
    metrics: dict[str, float] = {}
    for pair, found in summaries.items():
        name = f"judge.{pair.replace(' against ', '_against_')}"
        metrics |= {f"{name}.{outcome.value}": float(found.combined[outcome]) for outcome in Outcome}
        rates = {
            "win_rate": found.win_rate,
            "length_controlled_win_rate": found.length_controlled,
            "flip_rate": found.flip_rate,
        }
        for rate, estimate in rates.items():
            if estimate is not None:
                metrics[f"{name}.{rate}"] = estimate.value
                metrics[f"{name}.{rate}.low"], metrics[f"{name}.{rate}.high"] = estimate.low, estimate.high
    return metrics


def taxes_of(tables: Evaluated, bases: Mapping[str, str]) -> Taxes:
    """Loss of accuracy against the base of each trained model."""
    return alignment_tax(joined(EvaluatedItem, tables), bases)


def tax_metrics(taxes: Taxes) -> dict[str, float]:
    """The losses by benchmark and trained model, with their intervals."""
    return {
        f"tax.{benchmark}.{subject}{end}": value
        for (benchmark, subject), found in taxes.items()
        for end, value in (("", found.value), (".low", found.low), (".high", found.high))
    }


def failures_of(
    answers: Mapping[str, Rows[ModelAnswer]], topics: Rows[TopicScore] | None
) -> dict[str, dict[str, Estimate]]:
    """Subject -> shares of empty, repetitive, unfinished and, where that was scored, off-topic answers."""
    off_topic: dict[str, list[bool]] = {}
    for row in topics or ():
        if row.off_topic is not None:
            off_topic.setdefault(row.subject, []).append(row.off_topic)
    return {subject: failure_rates(given, off_topic.get(subject, ())) for subject, given in answers.items()}


def failure_metrics(failures: dict[str, dict[str, Estimate]]) -> dict[str, float]:
    """The rates by name and subject."""
    return {
        f"failures.{name}.{subject}": found.value for subject, own in failures.items() for name, found in own.items()
    }
