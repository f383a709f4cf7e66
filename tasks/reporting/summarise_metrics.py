"""The run's headline metrics, computed from its tables. Each is a mean over rows that anyone can recompute."""

from collections.abc import Mapping
from typing import Any

from data_contracts.store.artifact import Artifact
from data_contracts.tables.arrow import compute as pc
from data_contracts.tables.comparisons import Comparisons
from data_contracts.tables.demonstrations import Demonstrations
from data_contracts.tables.effects import Effects
from data_contracts.tables.evaluation_texts import OVERLAP, ContaminationVerdicts
from data_contracts.tables.evaluations import Evaluations
from data_contracts.tables.queries import Queries, RejectedQueries
from data_contracts.tables.reward_scores import RewardScores
from data_contracts.tables.rollouts import Rollouts
from data_contracts.tables.topic_scores import TopicScores
from data_contracts.tables.verdicts import Answers, Verdicts
from models.evaluation.alignment_tax import Taxes, alignment_tax
from models.evaluation.benchmarks.mmlu import GROUP_OF
from models.evaluation.generation_failures import failure_rates
from models.evaluation.judging.verdict_arithmetic import JudgingSummary, Outcome, summarise_verdicts
from models.evaluation.statistics.aggregates import ALL, aggregate
from models.evaluation.statistics.intervals import Estimate
from tasks.runtime.step_context import read
from tasks.tiny_world.gold_agreement import VERDICTS, agreements


def mining_metrics(queries: Artifact[Queries], rejected: Artifact[RejectedQueries]) -> dict[str, float]:
    """Share of generations that became queries, and rejections by reason."""
    reasons = pc.value_counts(read(RejectedQueries, rejected)["rejected_because"]).to_pylist()
    total = queries.rows + rejected.rows
    metrics = {"queries.kept": float(queries.rows), "queries.acceptance": queries.rows / total}
    return metrics | {f"queries.rejected.{entry['values']}": float(entry["counts"]) for entry in reasons}


def contamination_metrics(verdicts: Artifact[ContaminationVerdicts]) -> dict[str, float]:
    """How many queries were compared with how many evaluation texts, and overlapped; absent where there were no texts."""
    table = read(ContaminationVerdicts, verdicts)
    overlapping = pc.equal(table["verdict"], OVERLAP)
    if table.num_rows == 0 or table["texts_checked"][0].as_py() == 0:
        return {}
    return {
        "contamination.texts": float(table["texts_checked"][0].as_py()),
        "contamination.queries_checked": float(table.num_rows),
        "contamination.overlapping": float(table.filter(overlapping).num_rows),
        "contamination.in_use": float(table.filter(pc.and_(overlapping, table["kept"])).num_rows),
    }


def comparison_metrics(comparisons: Artifact[Comparisons], gold: Artifact[Evaluations] | None) -> dict[str, float]:
    """Comparisons made and kept; in the tiny world, how often gold agrees with the assumed order."""
    rows = read(Comparisons, comparisons).to_pylist()
    kept = [row for row in rows if row["kept"]]
    metrics = {"comparisons.all": float(len(rows)), "comparisons.kept": float(len(kept))}
    if gold is None:
        return metrics
    table = read(Evaluations, gold)
    score = dict(zip(table["item_id"].to_pylist(), table["value"].to_pylist(), strict=True))
    for name, belongs in VERDICTS.items():
        decided = [agrees for _, agrees in agreements([row for row in rows if belongs(row)], score)]
        if decided:
            metrics[f"comparisons.gold_agreement.{name}"] = sum(decided) / len(decided)
    return metrics


def reward_metrics(name: str, scores: Artifact[RewardScores]) -> dict[str, float]:
    """Accuracy of a reward model on its held-out pairs, and of "the longer one wins" on the same pairs."""
    table = read(RewardScores, scores)
    heldout = table.filter(pc.equal(table["split"], "heldout"))
    if heldout.num_rows == 0:
        return {}
    right = _share_first_higher(heldout["chosen_score"], heldout["rejected_score"])
    longer = _share_first_higher(heldout["chosen_chars"], heldout["rejected_chars"])
    return {
        f"{name}.heldout_pairs": float(heldout.num_rows),
        f"{name}.heldout_accuracy": right,
        f"{name}.longer_wins_accuracy": longer,
    }


def _share_first_higher(first: Any, second: Any) -> float:
    """Share of rows in which `first` is higher; a tie counts one half."""
    higher = pc.mean(pc.greater(first, second).cast("float64")).as_py()
    return higher + 0.5 * pc.mean(pc.equal(first, second).cast("float64")).as_py()


def policy_metrics(
    demonstrations: Artifact[Demonstrations], rollouts: Artifact[Rollouts] | None, algorithm: str = "ppo"
) -> dict[str, float]:
    """Usable demonstrations, and reward-model score and KL in the first and last tenth of the steps that sampled."""
    usable = pc.sum(read(Demonstrations, demonstrations)["usable"].cast("int64")).as_py()
    if rollouts is None:
        return {"demonstrations.usable": float(usable)}
    table = read(Rollouts, rollouts)
    last = pc.max(table["step"]).as_py()
    first_tenth, last_tenth = max(1, (last + 1) // 10), last - max(1, (last + 1) // 10)
    early = table.filter(pc.less_equal(table["step"], first_tenth))
    late = table.filter(pc.greater(table["step"], last_tenth))
    return {
        "demonstrations.usable": float(usable),
        f"{algorithm}.score.first": pc.mean(early["score"]).as_py(),
        f"{algorithm}.score.last": pc.mean(late["score"]).as_py(),
        f"{algorithm}.kl.last": pc.mean(late["kl"]).as_py(),
    }


def evaluation_metrics(tables: list[Artifact[Evaluations]]) -> dict[str, float]:
    """Mean value with its interval of 95%, and the number of items, per benchmark and subject and its main groups."""
    metrics: dict[str, float] = {}
    for figure in aggregate(row for artifact in tables for row in read(Evaluations, artifact).to_pylist()):
        if figure.group in GROUP_OF:  # one of MMLU's 57 subjects
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


def effect_metrics(effects: Artifact[Effects]) -> dict[str, float]:
    """The study's differences by effect and arm."""
    return {row["effect_id"]: row["difference"] for row in read(Effects, effects).to_pylist()}


def summarise_judging(tables: list[Artifact[Verdicts]]) -> dict[str, JudgingSummary]:
    """Figures of each pair of subjects, named `A against B`."""
    summaries = {}
    for artifact in tables:
        rows = read(Verdicts, artifact).to_pylist()
        if rows:
            summaries[f"{rows[0]['subject_a']} against {rows[0]['subject_b']}"] = summarise_verdicts(rows)
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


def taxes_of(tables: list[Artifact[Evaluations]], bases: Mapping[str, str]) -> Taxes:
    """Loss of accuracy against the base of each trained model."""
    return alignment_tax((row for artifact in tables for row in read(Evaluations, artifact).to_pylist()), bases)


def tax_metrics(taxes: Taxes) -> dict[str, float]:
    """The losses by benchmark and trained model, with their intervals."""
    return {
        f"tax.{benchmark}.{subject}{end}": value
        for (benchmark, subject), found in taxes.items()
        for end, value in (("", found.value), (".low", found.low), (".high", found.high))
    }


def failures_of(
    tables: dict[str, Artifact[Answers]], topics: Artifact[TopicScores] | None
) -> dict[str, dict[str, Estimate]]:
    """Subject -> shares of empty, repetitive, unfinished and, where that was scored, off-topic answers."""
    scored = read(TopicScores, topics).to_pylist() if topics is not None else []
    found = {}
    for subject, artifact in tables.items():
        off_topic = [row["off_topic"] for row in scored if row["subject"] == subject and row["off_topic"] is not None]
        found[subject] = failure_rates(read(Answers, artifact).to_pylist(), off_topic)
    return found


def failure_metrics(failures: dict[str, dict[str, Estimate]]) -> dict[str, float]:
    """The rates by name and subject."""
    return {
        f"failures.{name}.{subject}": found.value for subject, own in failures.items() for name, found in own.items()
    }
