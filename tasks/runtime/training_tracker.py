"""Metrics of a training job as TensorBoard events, while it runs (`training.report_to`).

The process that waits for the job writes them, from the job's progress lines: a job needs no tracker, no key and no
network. Weights & Biases takes the same files (`wandb sync FOLDER`).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from data_contracts.config.training import ReportTo
from data_contracts.errors import ConfigError

FOLDER = "tensorboard"
Track = Callable[[float, Mapping[str, float]], None]


def check_tracker(report_to: ReportTo) -> None:
    """Raise ConfigError when the tracker's package is not installed here."""
    if report_to is ReportTo.TENSORBOARD and find_spec("tensorboard") is None:
        raise ConfigError(
            "training.report_to is 'tensorboard', which is not installed here: pip install 'tensorboard>=2.21', "
            "or set training.report_to=none"
        )


@contextmanager
def tracking(report_to: ReportTo, folder: Path) -> Iterator[Track]:
    """Inside, what is called with a step and its metrics writes them to `folder`; without a tracker it does nothing.

    Raises:
        ConfigError: the tracker's package is not installed here.
    """
    check_tracker(report_to)
    match report_to:
        case ReportTo.NONE:
            yield lambda _step, _metrics: None
        case ReportTo.TENSORBOARD:
            from tensorboard.summary import Writer

            writer = Writer(str(folder))

            def track(step: float, metrics: Mapping[str, float]) -> None:
                for name, value in metrics.items():
                    writer.add_scalar(name, value, step=int(step))

            try:
                yield track
            finally:
                writer.close()
