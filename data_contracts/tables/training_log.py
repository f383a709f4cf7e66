"""What a training job measured while it ran, in long form: one row per step and metric."""

from collections.abc import Iterable, Mapping

import pyarrow as pa

from data_contracts.tables.contract import Contract, at_least, integer, number, text


class TrainingLog(Contract):
    """`metric` uses the trainer's names (loss, lr, grad_norm, accuracy, kl, ...); `value` may be NaN only by fault."""

    name = "training_log"
    schema = pa.schema([text("log_id"), integer("step"), text("metric"), number("value")])
    key = "log_id"
    rules = (at_least("step", 0),)


def training_log_rows(history: Iterable[tuple[int, Mapping[str, float]]]) -> list[dict[str, object]]:
    """Long-form rows from (step, metrics) pairs; a metric logged twice at one step keeps its last value."""
    values = {(step, metric): float(value) for step, metrics in history for metric, value in metrics.items()}
    return [
        {"log_id": f"{step}:{metric}", "step": step, "metric": metric, "value": value}
        for (step, metric), value in sorted(values.items())
    ]
