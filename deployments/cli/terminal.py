"""What a person sees in the terminal while a run goes on: a line per finished step, a bar per running one."""

import logging
import sys
import time
from contextlib import ExitStack
from types import TracebackType

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from data_contracts.store.artifact_store import Store
from tasks.reporting.metric_rows import metric_rows
from tasks.reporting.run_summary import read_summary
from tasks.runtime.context import Progress, current, within
from tasks.runtime.run_log import describe, progress_state
from tasks.runtime.run_record import StepRecord

PLAIN_EVERY_S = 10.0


class Terminal:
    """An observer of the runs that begin while it is open; bars on a terminal, plain lines in a log file."""

    def __init__(self, title: str) -> None:
        self.console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self.title = title
        self._bar_of: dict[str, TaskID] = {}
        self._last_line: dict[str, float] = {}
        self._opened = ExitStack()
        self._bars = Bars(
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
        self._opened.enter_context(self._bars)
        self._opened.enter_context(within(observers=(*current().observers, self)))
        handler = RichHandler(console=self.console, show_path=False, show_time=False, markup=False)
        logger = logging.getLogger("almost")
        logger.handlers = [handler]
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def step_finished(self, step: StepRecord) -> None:
        """Print the step's line in place of its bar."""
        bar = self._bar_of.pop(step.label, None)
        if bar is not None:
            self._bars.remove_task(bar)
        self.console.print(f"  {describe(step)}", markup=False)

    def progressed(self, progress: Progress) -> None:
        """Move the step's bar; in a log file, print a line now and then."""
        if not self.console.is_terminal:
            self._print_line(progress)
            return
        if progress.step not in self._bar_of:
            self._bar_of[progress.step] = self._bars.add_task(progress.step, total=progress.total, state="")
        bar = self._bar_of[progress.step]
        self._bars.update(bar, completed=progress.done, total=progress.total, state=progress_state(progress))

    def summarise(self, store: Store, run_id: str, seconds: float) -> None:
        """The last lines: metrics, where the files are, and what to do next."""
        summary = read_summary(store, run_id)
        if summary is None:
            return
        for row in metric_rows(summary.metrics):
            self.console.print(f"  {row.sentence()}", markup=False)
        cached = sum(step.cached for step in summary.steps)
        self.console.print(
            f"run {run_id} {summary.status} in {seconds:.0f} s: {len(summary.steps)} steps, {cached} cached; "
            f"{summary.home}/runs/{run_id}/summary.json; look closer: almost show {run_id}",
            markup=False,
        )

    def _print_line(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last_line.get(progress.step, 0.0) >= PLAIN_EVERY_S and progress.done < progress.total:
            self._last_line[progress.step] = now
            self.console.print(f"    {progress.step}: {progress_state(progress)}", markup=False)
