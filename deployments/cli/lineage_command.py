"""`almost lineage ROW_ID`: where one row of a run came from, and which files hold it and what it was made from."""

from rich.console import Console

from data_contracts.errors import ConfigError
from deployments.cli.show_command import PIPE_WIDTH, open_run_of
from tasks.reporting.plain_text import plain
from tasks.reporting.row_lineage import TRACED, describe_lineage, find_row
from tasks.reporting.run_tables import RunTables


def print_lineage(home: str, run_id: str | None, row_id: str) -> None:
    """Print the rows that a row rests on, from the query on, then the artifacts.

    Raises:
        ConfigError: no such run or row; the message shows ids of the run.
    """
    store, summary = open_run_of(home, run_id)
    tables = RunTables(store, summary.steps)
    found = find_row(tables, row_id)
    if found is None:
        ids = [next((getattr(row, kind.key) for row in tables.rows(kind)), None) for kind in TRACED]
        known = ", ".join(first for first in ids if first) or "none"
        raise ConfigError(f"run {summary.run_id} has no row {plain(row_id, 80)!r}; ids look like: {known}")
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(f"run {summary.run_id}, table of {found.row.table.replace('_', ' ')}, row {plain(row_id, 80)}")
    for line in describe_lineage(tables, found):
        console.print(line, soft_wrap=True)
    console.print("\nfiles, each with what it was made from:")
    for folder, step, inputs in tables.ancestry(found.path):
        console.print(f"  {folder} by {step}" + (f" from {', '.join(inputs)}" if inputs else ""), soft_wrap=True)
