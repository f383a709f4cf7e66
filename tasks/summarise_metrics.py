"""The run's headline metrics, computed from its tables. Each is a mean over rows that anyone can recompute."""

from typing import Any

from data_contracts.arrow import compute as pc
from data_contracts.artifact import Artifact
from data_contracts.comparisons import Comparisons
from data_contracts.demonstrations import Demonstrations
from data_contracts.effects import Effects
from data_contracts.evaluations import Evaluations
from data_contracts.queries import Queries, RejectedQueries
from data_contracts.reward_scores import RewardScores
from data_contracts.rollouts import Rollouts
from tasks.gold_agreement import VERDICTS, agreements
from tasks.step_context import read


def mining_metrics(queries: Artifact[Queries], rejected: Artifact[RejectedQueries]) -> dict[str, float]:
    """Share of generations that became queries, and rejections by reason."""
    reasons = pc.value_counts(read(RejectedQueries, rejected)["rejected_because"]).to_pylist()
    total = queries.rows + rejected.rows
    metrics = {"queries.kept": float(queries.rows), "queries.acceptance": queries.rows / total}
    return metrics | {f"queries.rejected.{entry['values']}": float(entry["counts"]) for entry in reasons}


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


def policy_metrics(demonstrations: Artifact[Demonstrations], rollouts: Artifact[Rollouts]) -> dict[str, float]:
    """Usable demonstrations, and reward-model score and KL in the first and last tenth of the PPO steps."""
    usable = pc.sum(read(Demonstrations, demonstrations)["usable"].cast("int64")).as_py()
    table = read(Rollouts, rollouts)
    last = pc.max(table["step"]).as_py()
    first_tenth, last_tenth = max(1, (last + 1) // 10), last - max(1, (last + 1) // 10)
    early = table.filter(pc.less_equal(table["step"], first_tenth))
    late = table.filter(pc.greater(table["step"], last_tenth))
    return {
        "demonstrations.usable": float(usable),
        "ppo.score.first": pc.mean(early["score"]).as_py(),
        "ppo.score.last": pc.mean(late["score"]).as_py(),
        "ppo.kl.last": pc.mean(late["kl"]).as_py(),
    }


def evaluation_metrics(tables: list[Artifact[Evaluations]]) -> dict[str, float]:
    """Mean value and number of rows per benchmark and subject."""
    metrics: dict[str, float] = {}
    for artifact in tables:
        grouped = (
            read(Evaluations, artifact)
            .group_by(["benchmark", "subject"])
            .aggregate([("value", "mean"), ("value", "count")])
        )
        for row in grouped.to_pylist():
            name = f"{row['benchmark']}.{row['subject']}"
            metrics[name] = row["value_mean"]
            metrics[f"{name}.n"] = float(row["value_count"])
    return metrics


def effect_metrics(effects: Artifact[Effects]) -> dict[str, float]:
    """The study's differences by effect and arm."""
    return {row["effect_id"]: row["difference"] for row in read(Effects, effects).to_pylist()}
