"""Which tables the headline metrics of a run come from."""

from flows.evaluate_run import EvaluationTables
from flows.synthetic_feedback import SyntheticFeedback
from flows.train_policy import TrainedPolicy
from models.evaluation.alignment_tax import BASES, tax_table
from models.evaluation.contamination_table import contamination_table
from models.evaluation.generation_failures import failure_table
from models.evaluation.judging.judging_table import judging_table
from tasks.reporting.evaluation_report import aggregates_of, publish_tables
from tasks.reporting.report_reward_card import publish_reward_card, reward_card_metrics
from tasks.reporting.summarise_metrics import (
    comparison_metrics,
    contamination_metrics,
    evaluation_metrics,
    failure_metrics,
    failures_of,
    judging_metrics,
    mining_metrics,
    policy_metrics,
    reward_metrics,
    summarise_judging,
    tax_metrics,
    taxes_of,
)
from tasks.runtime.run_record import RunRecord


def feedback_metrics(feedback: SyntheticFeedback) -> dict[str, float]:
    """What step 1 alone tells, before anything is evaluated."""
    mined = mining_metrics(feedback.mined.queries, feedback.mined.rejected)
    as_is = {} if feedback.as_is is None else reward_metrics("as_is", feedback.as_is.scores)
    reward = reward_metrics("reward", feedback.reward.scores)
    return mined | comparison_metrics(feedback.comparisons, None) | as_is | reward


def record_run_metrics(
    record: RunRecord, feedback: SyntheticFeedback, policy: TrainedPolicy, evaluations: EvaluationTables
) -> None:
    """Put the metrics of every phase into the run's record, and the tables for people on the run page."""
    gold = [table for table in (evaluations.responses, evaluations.gold_pairs) if table is not None]
    record.add_metrics(mining_metrics(feedback.mined.queries, feedback.mined.rejected))
    contamination = None
    if feedback.contamination is not None:
        record.add_metrics(contamination_metrics(feedback.contamination))
        contamination = contamination_table(feedback.contamination)
    record.add_metrics(comparison_metrics(feedback.comparisons, evaluations.responses))
    if feedback.as_is is not None:
        record.add_metrics(reward_metrics("as_is", feedback.as_is.scores))
    record.add_metrics(reward_metrics("reward", feedback.reward.scores))
    record.add_metrics(policy_metrics(policy.demonstrations, policy.rollouts, policy.optimizer.value))
    if evaluations.reward_card is not None:
        record.add_metrics(reward_card_metrics(evaluations.reward_card))
        publish_reward_card(evaluations.reward_card)
    judging = summarise_judging(evaluations.verdicts)
    record.add_metrics(judging_metrics(judging))
    failures, taxes = failures_of(evaluations.answers, evaluations.topics), taxes_of(evaluations.benchmarks, BASES)
    record.add_metrics(failure_metrics(failures))
    record.add_metrics(tax_metrics(taxes))
    more = (judging_table(judging), failure_table(failures), tax_table(taxes, BASES, {}), contamination)
    publish_tables(
        aggregates_of([*evaluations.preferences, *evaluations.benchmarks]),
        [table for table in more if table is not None],
    )
    record.add_metrics(
        evaluation_metrics([*gold, *evaluations.models, *evaluations.preferences, *evaluations.benchmarks])
    )
