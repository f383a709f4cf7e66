"""Which tables the headline metrics of a run come from."""

from flows.evaluate import EvaluationTables
from flows.synthetic_feedback import SyntheticFeedback
from flows.train_policy import TrainedPolicy
from tasks.run_record import record_metrics
from tasks.summarise_metrics import (
    comparison_metrics,
    evaluation_metrics,
    mining_metrics,
    policy_metrics,
    reward_metrics,
)


def record_run_metrics(feedback: SyntheticFeedback, policy: TrainedPolicy, evaluations: EvaluationTables) -> None:
    """Put the metrics of every stage into the run's record."""
    gold = [table for table in (evaluations.responses, evaluations.gold_pairs) if table is not None]
    record_metrics(mining_metrics(feedback.mined.queries, feedback.mined.rejected))
    record_metrics(comparison_metrics(feedback.comparisons, evaluations.responses))
    if feedback.as_is is not None:
        record_metrics(reward_metrics("as_is", feedback.as_is.scores))
    record_metrics(reward_metrics("reward", feedback.reward.scores))
    record_metrics(policy_metrics(policy.demonstrations, policy.ppo.rollouts))
    record_metrics(evaluation_metrics([*gold, *evaluations.models, *evaluations.preferences]))
