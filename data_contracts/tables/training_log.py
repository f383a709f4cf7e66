"""What a training job measured while it ran, in long form: one row per step and metric."""

from collections.abc import Iterable, Mapping

from data_contracts.rows.row import Row
from data_contracts.rows.rules import at_least


class TrainingLogEntry(Row, table="training_log", key="log_id"):
    """`metric` uses the trainer's names (loss, lr, grad_norm, accuracy, kl, ...); `value` may be NaN only by fault."""

    log_id: str
    step: int
    metric: str
    value: float

    rules = (at_least("step", 0),)


def training_log_entries(history: Iterable[tuple[int, Mapping[str, float]]]) -> list[TrainingLogEntry]:
    """Long-form rows from (step, metrics) pairs; a metric logged twice at one step keeps its last value."""
    values = {(step, metric): float(value) for step, metrics in history for metric, value in metrics.items()}
    return [
        TrainingLogEntry(log_id=f"{step}:{metric}", step=step, metric=metric, value=value)
        for (step, metric), value in sorted(values.items())
    ]
