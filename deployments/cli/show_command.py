"""`almost show [RUN]`: what a run made and measured, with a few rows of each table in readable form."""

from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from data_contracts.errors import ConfigError
from data_contracts.store.artifact_store import Store
from tasks.reporting.metric_rows import COLUMNS, metric_rows
from tasks.reporting.plain_text import plain
from tasks.reporting.report_page import write_report
from tasks.reporting.run_summary import LATEST, RUNS, RunSummary, read_summary
from tasks.reporting.run_tables import RunTables
from tasks.reporting.sample_rows import SAMPLES

KNOWN_SHOWN = 8
PIPE_WIDTH = 120


def show_run(home: str, run_id: str | None) -> None:
    """Print a run's summary, metrics and sample rows.

    Raises:
        ConfigError: there is no such run; the message names the known ones.
    """
    store, summary = open_run_of(home, run_id)
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    print_summary(console, summary)
    tables = RunTables(store, summary.steps)
    for title, sample in SAMPLES:
        lines = sample(tables)
        if lines:
            console.print(Text(f"\n{title}", style="bold"))
        for line in lines:
            console.print(line)


def report_run(home: str, run_id: str | None) -> str:
    """Write the report of a run again; where it is.

    Raises:
        ConfigError: there is no such run; the message names the known ones.
    """
    store, summary = open_run_of(home, run_id)
    return f"{store.url}/{write_report(store, summary, RunTables(store, summary.steps))}"


def open_run_of(home: str, run_id: str | None) -> tuple[Store, RunSummary]:
    """The store and the summary of a run; a home without runs is not created."""
    if "://" not in home and not (Path(home) / RUNS).is_dir():
        raise ConfigError(f"there are no runs in {home}; start one with almost run, or name its store with --home")
    store = Store(home)
    return store, find_summary(store, run_id)


def find_summary(store: Store, run_id: str | None) -> RunSummary:
    """The summary of a run, or of the newest finished one; ConfigError names the known runs."""
    known = [name for name in store.backend.folders(RUNS) if name != LATEST]
    if run_id is not None and run_id not in known:
        newest = ", ".join(sorted(known, reverse=True)[:KNOWN_SHOWN]) or "none"
        raise ConfigError(f"unknown run {plain(run_id, 80)!r} in {store.url}; known, newest first: {newest}")
    try:
        summary = read_summary(store, run_id)
    except ValidationError as error:
        raise ConfigError(f"the summary of run {run_id or LATEST} was written by another version") from error
    if summary is None:
        others = f"; unfinished or failed: {', '.join(known[-KNOWN_SHOWN:])}" if known else ""
        raise ConfigError(f"there is no finished run in {store.url}{others}")
    return summary


def print_summary(console: Console, summary: RunSummary) -> None:
    """Heading, a row per step, and the metrics."""
    seeds = ", ".join(f"{name} {value}" for name, value in summary.seeds.items())
    console.print(Text(f"run {summary.run_id}: {summary.status} {plain(summary.message)}".strip(), style="bold"))
    console.print(
        f"profile {summary.profile}; seeds: {seeds}; started {summary.started_at}, took {summary.wall_s:.0f} s"
    )
    console.print(f"store {summary.home}")
    steps = Table(box=None, pad_edge=False, title_justify="left")
    for column, justify in (("step", "left"), ("rows", "left"), ("working s", "right"), ("start-up s", "right")):
        steps.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for step in summary.steps:
        rows = step.tables()
        spent = ("cached", "") if step.cached else (f"{step.working_s:.1f}", f"{step.startup_s:.1f}")
        steps.add_row(step.label, rows or "-", *spent)
    console.print()
    console.print(steps)
    if summary.metrics:
        metrics = Table(box=None, pad_edge=False)
        for column in COLUMNS:
            metrics.add_column(column, justify="left" if column == COLUMNS[0] else "right", overflow="fold")
        for row in metric_rows(summary.metrics):
            metrics.add_row(*map(escape, row.cells()))
        console.print()
        console.print(metrics)
