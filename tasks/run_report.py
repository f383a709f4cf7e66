"""What a person reads on the Prefect run page: stages, metrics, and where the files are."""

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.exceptions import MissingContextError
from prefect.runtime import flow_run

from tasks.run_summary import RunSummary


def publish_report(summary: RunSummary) -> None:
    """Create the run's artifacts; outside a flow run there is no page to put them on."""
    if flow_run.id is None:
        return
    try:
        create_table_artifact(key="almost-stages", table=_stage_rows(summary), description=_heading(summary))
        create_markdown_artifact(key="almost-summary", markdown=_markdown(summary), description="Metrics and files")
    except MissingContextError:
        return


def _heading(summary: RunSummary) -> str:
    return f"Run {summary.run_id} {summary.status}: {summary.wall_s:.0f} s, {summary.orchestration_s:.1f} s of it idle"


def _stage_rows(summary: RunSummary) -> list[dict[str, object]]:
    return [
        {
            "stage": stage.stage,
            "working s": "cached" if stage.cached else round(stage.working_s, 1),  # narrow columns first: none is cut
            "start-up s": "" if stage.cached else round(stage.startup_s, 1),
            "rows": stage.tables(),
            "artifact": stage.artifact,
        }
        for stage in summary.stages
    ]


def _markdown(summary: RunSummary) -> str:
    lines = [
        f"# Run `{summary.run_id}`",
        "",
        f"Profile `{summary.profile}`, {summary.status}. {summary.message}".strip(),
    ]
    if summary.config.get("world"):
        lines += ["", "Numbers of the tiny world: a miniature, not a result about real language models."]
    lines += ["", f"Files: `{summary.home}`, summary: `{summary.home}/runs/{summary.run_id}/summary.json`"]
    lines += ["", "| metric | value |", "|---|---|"]
    for name, value in summary.metrics.items():
        lines.append(f"| {name} | {f'{value:,.3f}'.rstrip('0').rstrip('.')} |")
    return "\n".join(lines)
