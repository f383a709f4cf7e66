"""Who hears of finished stages: the terminal sets a listener, elsewhere the Prefect log does."""

from collections.abc import Callable

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger

from tasks.run_record import StageRecord

TERMINAL: list[Callable[[StageRecord], None]] = []


def describe(stage: StageRecord) -> str:
    """One line for one stage."""
    rows = ", ".join(f"{rows:,} {contract.split('@')[0]}" for contract, rows in stage.rows.items())
    spent = "cached" if stage.cached else f"{stage.working_s:.1f} s + {stage.startup_s:.1f} s start-up"
    return f"{stage.stage}: {rows or 'done'} ({spent})"


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
