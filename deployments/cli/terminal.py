"""What a person sees in the terminal while a run goes on: a line per finished stage, a bar per running one."""

import logging
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from data_contracts.store.artifact_store import Store
from tasks.reporting.metric_rows import metric_rows
from tasks.reporting.run_summary import read_summary
from tasks.runtime import progress as progress_events
from tasks.runtime.run_listener import TERMINAL, describe
from tasks.runtime.run_record import StageRecord

PLAIN_EVERY_S = 10.0


class Terminal:
    """Shows progress while it is open; bars on a terminal, plain lines in a log file."""

    def __init__(self, title: str) -> None:
        self.console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self.title = title
        self._bars: dict[str, TaskID] = {}
        self._last_line: dict[str, float] = {}
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[state]}", markup=False),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> "Terminal":
        self.console.print(f"almost: {self.title}", markup=False)
        self._progress.start()
        progress_events.LISTENERS.append(self._show_progress)
        TERMINAL.append(self._show_stage)
        handler = RichHandler(console=self.console, show_path=False, show_time=False, markup=False)
        logger = logging.getLogger("almost")
        logger.handlers = [handler]
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        progress_events.LISTENERS.remove(self._show_progress)
        TERMINAL.remove(self._show_stage)
        self._progress.stop()

    def summarise(self, store: Store, run_id: str, seconds: float) -> None:
        """The last lines: metrics, where the files are, and what to do next."""
        summary = read_summary(store, run_id)
        if summary is None:
            return
        rows = metric_rows(summary.metrics)
        width = max((len(row.name) for row in rows), default=0)
        for row in rows:
            items = f" of {row.items}" if row.items else ""
            self.console.print(f"  {row.name:<{width}} {row.value:>7} {row.interval:<16}{items}".rstrip(), markup=False)
        cached = sum(stage.cached for stage in summary.stages)
        self.console.print(
            f"run {run_id} {summary.status} in {seconds:.0f} s: {len(summary.stages)} stages, {cached} cached; "
            f"{summary.home}/runs/{run_id}/summary.json; look closer: almost show {run_id}",
            markup=False,
        )

    def _show_stage(self, stage: StageRecord) -> None:
        bar = self._bars.pop(stage.stage, None)
        if bar is not None:
            self._progress.remove_task(bar)
        self.console.print(f"  {describe(stage)}", markup=False)

    def _show_progress(self, event: progress_events.Progress) -> None:
        metrics = " ".join(f"{name} {value:.3g}" for name, value in event.metrics.items())
        left = f", {event.left_s:.0f} s left" if event.left_s is not None else ""
        state = f"{event.done:,.0f}/{event.total:,.0f} {event.unit}{left} {metrics}".rstrip()
        if not self.console.is_terminal:
            self._show_line(event, state)
            return
        if event.stage not in self._bars:
            self._bars[event.stage] = self._progress.add_task(event.stage, total=event.total, state="")
        self._progress.update(self._bars[event.stage], completed=event.done, total=event.total, state=state)

    def _show_line(self, event: progress_events.Progress, state: str) -> None:
        now = time.monotonic()
        if now - self._last_line.get(event.stage, 0.0) >= PLAIN_EVERY_S and event.done < event.total:
            self._last_line[event.stage] = now
            self.console.print(f"    {event.stage}: {state}", markup=False)
