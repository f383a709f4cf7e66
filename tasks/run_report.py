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
            "rows": stage.tables(),
            "working s": round(stage.working_s, 1),
            "start-up s": round(stage.startup_s, 1),
            "cached": stage.cached,
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
    if summary.profile in ("smoke", "tiny"):
        lines += ["", "Numbers of the tiny world: a miniature, not a result about real language models."]
    lines += ["", "| metric | value |", "|---|---|"]
    lines += [f"| {name} | {value:.3f} |" for name, value in summary.metrics.items()]
    lines += ["", f"Files: `{summary.home}`, summary: `{summary.home}/runs/{summary.run_id}/summary.json`"]
    return "\n".join(lines)
