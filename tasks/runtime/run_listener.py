"""Who hears of finished stages and of progress: the terminal if one watches, and the Prefect log of the run."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect import get_client
from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from tasks.runtime.progress import LISTENERS, Progress
from tasks.runtime.progress_artifact import ProgressArtifacts
from tasks.runtime.run_record import StageRecord

TERMINAL: list[Callable[[StageRecord], None]] = []
LOG_EVERY_S = 10.0


def describe(stage: StageRecord) -> str:
    """One line for one stage."""
    rows = stage.tables()
    spent = "cached" if stage.cached else f"{stage.working_s:.1f} s + {stage.startup_s:.1f} s start-up"
    return f"{stage.stage}: {rows or 'done'} ({spent})"


def describe_progress(progress: Progress) -> str:
    """One line for how far a stage is."""
    metrics = " ".join(f"{name} {value:.3g}" for name, value in progress.metrics.items())
    left = f", {progress.left_s:.0f} s left" if progress.left_s is not None else ""
    done = f"{progress.done:,.0f}/{progress.total:,.0f} {progress.unit}"
    return f"{progress.stage}: {done}{left} {metrics}".rstrip()


def stage_listener() -> Callable[[StageRecord], None]:
    """A listener that tells the terminal, or the run's log when nobody watches a terminal."""

    def listen(stage: StageRecord) -> None:
        for show in TERMINAL:
            show(stage)
        try:
            get_run_logger().info(describe(stage))
        except MissingContextError:
            return

    return listen


@contextmanager
def logging_progress() -> Iterator[None]:
    """Inside, the run's log and its progress artifacts hear how far long work is.

    The log gets a stage's first report, then at most one line per stage and 10 s. Logger and client are taken here,
    because progress may be reported from threads that know no run.
    """
    logger = get_run_logger()
    project = logging.getLogger("almost")
    if project.level == logging.NOTSET:  # a terminal has set it; elsewhere what jobs print goes to the run's log
        project.setLevel(logging.INFO)
    told: dict[str, float] = {}

    def tell(progress: Progress) -> None:
        now = time.monotonic()
        if now - told.get(progress.stage, float("-inf")) >= LOG_EVERY_S and progress.done < progress.total:
            told[progress.stage] = now
            logger.info(describe_progress(progress))

    listeners = [tell]
    with get_client(sync_client=True) as client:
        if flow_run.id is not None:
            listeners.append(ProgressArtifacts(client, UUID(flow_run.id), describe_progress).tell)
        LISTENERS.extend(listeners)
        try:
            yield
        finally:
            for listener in listeners:
                LISTENERS.remove(listener)
