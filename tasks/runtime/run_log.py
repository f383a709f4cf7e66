"""Observers of a run: the Prefect log of the run, and its progress artifacts."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect import get_client
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from tasks.runtime.context import Observer, Progress
from tasks.runtime.progress_artifact import ProgressArtifacts
from tasks.runtime.run_record import StepRecord

LOG_EVERY_S = 10.0


def describe(step: StepRecord) -> str:
    """One line for one finished step."""
    rows = step.tables()
    spent = "cached" if step.cached else f"{step.working_s:.1f} s + {step.startup_s:.1f} s start-up"
    return f"{step.label}: {rows or 'done'} ({spent})"


def describe_progress(progress: Progress) -> str:
    """One line for how far a step is."""
    return f"{progress.step}: {progress_state(progress)}"


def progress_state(progress: Progress) -> str:
    """How far a step is, without its name."""
    metrics = " ".join(f"{name} {value:.3g}" for name, value in progress.metrics.items())
    left = f", {progress.left_s:.0f} s left" if progress.left_s is not None else ""
    return f"{progress.done:,.0f}/{progress.total:,.0f} {progress.unit}{left} {metrics}".rstrip()


class RunLog:
    """Writes to the run's log: a line per finished step; of progress a step's first report, then a line per 10 s.

    The logger is taken when the run begins, because progress may be reported from threads that know no run.
    """

    def __init__(self) -> None:
        self._logger = get_run_logger()
        self._told: dict[str, float] = {}

    def step_finished(self, step: StepRecord) -> None:
        self._logger.info(describe(step))

    def progressed(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._told.get(progress.step, float("-inf")) >= LOG_EVERY_S and progress.done < progress.total:
            self._told[progress.step] = now
            self._logger.info(describe_progress(progress))


@contextmanager
def run_observers() -> Iterator[tuple[Observer, ...]]:
    """The observers of the flow run that is going on: its log and, under a server, its progress artifacts."""
    project = logging.getLogger("almost")
    if project.level == logging.NOTSET:  # a terminal has set it; elsewhere what jobs print goes to the run's log
        project.setLevel(logging.INFO)
    with get_client(sync_client=True) as client:
        if flow_run.id is None:
            yield (RunLog(),)
        else:
            yield (RunLog(), ProgressArtifacts(client, UUID(flow_run.id), describe_progress))
