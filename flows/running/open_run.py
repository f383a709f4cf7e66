"""A run: its id, its store, its record, and the summary it leaves, also when it fails."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psutil
from prefect.exceptions import Pause
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from data_contracts.config.run_config import RunConfig
from data_contracts.errors import AlmostError
from data_contracts.store.artifact_store import Store
from data_contracts.store.home import home_url
from flows.running.pool import run_on_pool
from tasks.inputs.check_inputs import check_inputs
from tasks.reporting.report_page import write_report
from tasks.reporting.run_report import publish_report
from tasks.reporting.run_summary import RunSummary, idle_seconds, write_summary
from tasks.reporting.run_tables import RunTables
from tasks.runtime.context import current, within
from tasks.runtime.flow_log import print_to_log_file
from tasks.runtime.phases import Phase, PhaseRange, PhaseReached
from tasks.runtime.run_log import run_observers
from tasks.runtime.run_record import RunRecord


@dataclass
class Run:
    """One run of flow `almost`."""

    run_id: str
    config: RunConfig
    store: Store
    record: RunRecord = field(default_factory=RunRecord)
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    started: float = field(default_factory=time.monotonic)
    process_startup_s: float | None = None

    def summary(self, status: str, message: str = "") -> RunSummary:
        """The run so far."""
        wall_s = time.monotonic() - self.started
        steps = self.record.steps
        return RunSummary(
            run_id=self.run_id,
            status=status,
            message=message,
            profile=self.config.profile,
            home=self.store.url,
            flow_run_id=str(flow_run.id) if flow_run.id else None,
            started_at=self.started_at,
            wall_s=wall_s,
            process_startup_s=self.process_startup_s,
            startup_s=sum(step.startup_s for step in steps),
            working_s=sum(step.working_s for step in steps),
            orchestration_s=idle_seconds(steps, wall_s),
            seed=self.config.seeds.data,
            seeds=self.config.seeds.model_dump(),
            steps=steps,
            metrics=self.record.metrics,
            config=self.config.model_dump(mode="json"),
        )


@contextmanager
def open_run(config: RunConfig, home: str | None, until: Phase | None, from_: Phase | None) -> Iterator[Run]:
    """Check the inputs (unless the command line has), open the store, record what happens inside, and leave a summary however it ends."""
    store = Store(home_url(home))
    print_to_log_file(store)
    if current().checked_config is not config:
        check_inputs(config)
    now = datetime.now(UTC)
    run = Run(f"{now:%Y%m%d-%H%M%S}-{config.profile}-{uuid.uuid4().hex[:4]}", config, store)
    run.process_startup_s = max(0.0, time.time() - psutil.Process().create_time())
    phases, watching = PhaseRange(until, from_), current().observers
    try:
        with (
            run_observers() as observers,
            within(
                store=store,
                record=run.record,
                observers=(*watching, *observers),
                phases=phases,
                placement=config.placement,
                dispatch=run_on_pool,
            ),
        ):
            yield run
    except PhaseReached as reached:
        _leave(run, "stopped", f"after {reached}")
    except Pause:  # it will begin anew, and that run leaves a summary
        raise
    except BaseException as error:
        _leave(run, "failed", f"{type(error).__name__}: {error}")
        raise
    else:
        _leave(run, "finished")


def _leave(run: Run, status: str, message: str = "") -> None:
    summary = run.summary(status, message)
    write_summary(run.store, summary, run.config)
    tables = RunTables(run.store, summary.steps)
    report = None
    try:
        report = write_report(run.store, summary, tables)
    except (AlmostError, OSError) as error:  # a table is gone or damaged: no reason to lose the run
        get_run_logger().warning("no report: %s; almost report %s writes it later", error, run.run_id)
    publish_report(summary, tables, report)
