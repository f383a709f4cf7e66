"""What a person reads on the Prefect run page: funnel, samples, steps, metrics, and where the files are."""

import textwrap
from pathlib import Path

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.exceptions import MissingContextError
from prefect.runtime import flow_run

from tasks.reporting.funnel import funnel
from tasks.reporting.metric_rows import COLUMNS, metric_rows
from tasks.reporting.report_page import MINIATURE
from tasks.reporting.run_summary import RunSummary
from tasks.reporting.run_tables import RunTables
from tasks.reporting.sample_rows import SAMPLES

LINE_WIDTH = 100  # of the run page's code blocks: they do not wrap
FENCE = "~~~~"


def publish_report(summary: RunSummary, tables: RunTables, report: str | None) -> None:
    """Create the run's artifacts; outside a flow run there is no page to put them on.

    Args:
        report: path of report.html in the store, None where it could not be written.
    """
    if flow_run.id is None:
        return
    try:
        create_table_artifact(key="almost-steps", table=_step_rows(summary), description=_heading(summary))
        create_markdown_artifact(key="almost-summary", markdown=_markdown(summary), description="Metrics and files")
        if report is None:
            return
        create_link_artifact(
            key="almost-report", link=_link(summary.home, report), link_text=report, description="The report, a file"
        )
        create_table_artifact(key="almost-funnel", table=funnel_rows(tables), description="What each step kept")
        create_markdown_artifact(key="almost-samples", markdown=samples(tables), description="A few rows of each table")
    except MissingContextError:
        return


def funnel_rows(tables: RunTables) -> list[dict[str, object]]:
    """The funnel as a table artifact."""
    return [
        {"step": row.what, "rows": row.rows, "share kept": row.share(), "left out": row.left_out}
        for row in funnel(tables)
    ]


def samples(tables: RunTables) -> str:
    """Samples in Markdown. What models wrote stays inside of fenced blocks: no line of one begins with their text."""
    parts = []
    for title, sample in SAMPLES:
        lines = [part for line in sample(tables) for part in _wrapped(line)]
        if lines:
            parts.append("\n".join([f"## {title}", "", FENCE, *lines, FENCE]))
    return "\n\n".join(parts)


def _wrapped(line: str) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.wrap(line, LINE_WIDTH, subsequent_indent=indent, drop_whitespace=False) or [line]


def _link(home: str, path: str) -> str:
    return f"{home.rstrip('/')}/{path}" if "://" in home else Path(home, path).resolve().as_uri()


def _heading(summary: RunSummary) -> str:
    return f"Run {summary.run_id} {summary.status}: {summary.wall_s:.0f} s, {summary.orchestration_s:.1f} s of it idle"


def _step_rows(summary: RunSummary) -> list[dict[str, object]]:
    return [
        {
            "step": step.label,
            "working s": "cached" if step.cached else round(step.working_s, 1),  # narrow columns first: none is cut
            "start-up s": "" if step.cached else round(step.startup_s, 1),
            "rows": step.tables(),
            "artifact": step.artifact,
        }
        for step in summary.steps
    ]


def _markdown(summary: RunSummary) -> str:
    lines = [
        f"# Run `{summary.run_id}`",
        "",
        f"Profile `{summary.profile}`, {summary.status}. {summary.message}".strip(),
    ]
    if summary.config.get("world"):
        lines += ["", MINIATURE]
    folder = f"{summary.home}/runs/{summary.run_id}"
    lines += ["", f"Store: `{summary.home}`; this run: `{folder}/report.html`, `{folder}/summary.json`"]
    lines += ["", f"| {' | '.join(COLUMNS)} |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row.cells())} |" for row in metric_rows(summary.metrics)]
    return "\n".join(lines)
