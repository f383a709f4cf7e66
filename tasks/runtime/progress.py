"""Progress of long work: one function to report it, listeners that show it (terminal bar, Prefect artifact, log)."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tasks.runtime.step_context import current


@dataclass(frozen=True)
class Progress:
    """How far one stage is; `left_s` is the estimated time left, None before anything is done."""

    stage: str
    done: float
    total: float
    unit: str
    left_s: float | None
    metrics: dict[str, float] = field(default_factory=dict)


LISTENERS: list[Callable[[Progress], None]] = []


class ProgressReporter:
    """Reports the progress of the running step."""

    def __init__(self, total: float, unit: str, stage: str | None = None) -> None:
        self.stage = stage or current().label
        self.total = total
        self.unit = unit
        self._started = time.monotonic()
        self._first: float | None = None

    def update(self, done: float, total: float | None = None, **metrics: float) -> None:
        """Say how much is done; what a resumed step found done already does not count for the estimate."""
        if total is not None:
            self.total = total
        if self._first is None:
            self._first, self._started = done, time.monotonic()
        fresh = done - self._first
        left_s = (self.total - done) * (time.monotonic() - self._started) / fresh if fresh > 0 else None
        progress = Progress(self.stage, done, self.total, self.unit, left_s, metrics)
        for listener in LISTENERS:
            listener(progress)
