"""An optional stop before a run spends: a person sees the bill and the numbers so far, and resumes it in the UI.

The run is suspended: it holds no process, no worker and no slot while it waits, and outlives a restart of either. Once
resumed it begins anew and finds in the store what it had made. Where the store already holds everything that would be
paid for, nobody is asked.
"""

from collections.abc import Callable
from uuid import UUID

from prefect import get_client
from prefect.artifacts import create_markdown_artifact
from prefect.flow_runs import suspend_flow_run
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from data_contracts.config.run_config import RunConfig
from models.run_bill import Work, bill
from tasks.reporting.metric_rows import metric_rows
from tasks.runtime.context import current, within
from tasks.runtime.phases import Phase, PhaseReached
from tasks.runtime.registry import all_steps
from tasks.runtime.run_record import RunRecord
from tasks.runtime.step import NotInStoreError

WAIT_S = 30 * 24 * 3600
SYNTHETIC_FEEDBACK, POLICY_TRAINING = "synthetic feedback", "policy training"
POLICY_PHASES = (Phase.DEMONSTRATIONS, Phase.SFT, Phase.POLICY)
TERAFLOPS = 100.0  # as almost plan assumes


def await_approval(
    config: RunConfig,
    what: str,
    ahead: Callable[[RunConfig], object],
    figures: Callable[[], dict[str, float]] = dict,
) -> None:
    """Suspend the run before `what`, unless the profile asks for no approval, it was given, or all is in the store.

    Args:
        ahead: does `what` with a configuration; it is asked here which steps the store holds, and computes nothing.
        figures: the metrics of what was made so far, by name; asked for only if the run is suspended.
    """
    if not config.placement.approval or _was_asked(what):
        return
    made, complete = _look_ahead(config, ahead)
    if complete:
        return
    create_markdown_artifact(
        key=f"almost-approval-{what.replace(' ', '-')}",
        markdown=describe(config, what, made, figures()),
        description=f"The bill of {what}: resume the run to start it, or cancel the run",
    )
    get_run_logger().info("%s needs approval: read the bill among the artifacts, then Resume or Cancel this run", what)
    suspend_flow_run(timeout=WAIT_S, key=what)


def _was_asked(what: str) -> bool:
    """Whether this run was suspended for it before: it is running again, so somebody resumed it."""
    with get_client(sync_client=True) as client:
        return what in (client.read_flow_run(UUID(flow_run.id)).empirical_policy.pause_keys or ())


def _look_ahead(config: RunConfig, ahead: Callable[[RunConfig], object]) -> tuple[set[str], bool]:
    """The steps that the store holds, up to the first it does not; and whether it holds all of them."""
    record = RunRecord()
    complete = True
    try:
        with within(lookup_only=True, record=record, observers=(), dispatch=None):
            ahead(config)
    except PhaseReached:
        pass  # nothing lies behind the last phase that was asked for
    except NotInStoreError:
        complete = False
    return {step.label for step in record.steps}, complete


def describe(config: RunConfig, what: str, made: set[str], metrics: dict[str, float]) -> str:
    """The artifact's text: steps of `what` with their upper bounds, the sum, and the numbers so far."""
    due = [
        work
        for work in bill(config)
        if _is_policy(work) == (what == POLICY_TRAINING) and current().phases.covers(_phase(work))
    ]
    lines = [
        f"# Approve {what}?",
        "",
        f"Profile `{config.profile}`. **Resume** starts it, **Cancel** ends the run.",
        "",
    ]
    lines += [f"| step | tokens at most | FLOPs at most | hours at {TERAFLOPS:g} TFLOP/s |", "|---|---:|---:|---:|"]
    lines += [f"| {work.step} | in the store | | |" if work.step in made else _row(work) for work in due]
    left = [work for work in due if work.step not in made]
    known = sum(work.flops or 0.0 for work in left)
    lines += [_row(Work("**together**", sum(work.tokens for work in left), known)), ""]
    lines += ["Upper bounds: every text at its full length; attention, loading and evaluation are not counted."]
    if any(work.flops is None for work in left):
        lines += ["Models that are only names on the Hub have no size here, and their steps no FLOPs."]
    if metrics:
        lines += ["", "## Numbers so far", "", "| metric | value |", "|---|---:|"]
        lines += [f"| {row.title} | {row.value} |" for row in metric_rows(metrics)]
    return "\n".join(lines)


def _is_policy(work: Work) -> bool:
    return _phase(work) in POLICY_PHASES


def _phase(work: Work) -> Phase | None:
    """The phase of the step that a line of the bill is about."""
    step = all_steps().get(work.step_name)
    return step.declared.phase if step else None


def _row(work: Work) -> str:
    hours = work.hours(TERAFLOPS * 1e12)
    flops = "unknown" if work.flops is None else f"{work.flops:.1e}"
    return f"| {work.step} | {work.tokens:,} | {flops} | {'' if hours is None else f'{hours:.3g}'} |"
