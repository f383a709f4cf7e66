"""The terminal as an observer of runs: what it prints, where it listens, and that it stops with its block."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_contracts.store.artifact_store import Store
from deployments.cli.terminal import Terminal
from tasks.reporting.run_summary import LATEST
from tasks.runtime.context import Observer, Progress, ProgressReporter, RunningStep, computing, current, within
from tasks.runtime.run_record import StepRecord
from tests.deployments.cli.finished_run import RUN_ID, make_run


@pytest.fixture(autouse=True)
def _project_logger() -> Iterator[None]:
    logger = logging.getLogger("almost")
    before = logger.handlers, logger.level, logger.propagate
    yield
    logger.handlers, logger.level, logger.propagate = before


def finished(cached: bool = False) -> StepRecord:
    return StepRecord(
        label="sample_responses-A", step="sample_responses", rows=3, artifact="responses@1/k",
        artifacts={"responses@1/k": 3, "training_log@1/k": 1200}, seconds=1.5, startup_s=0.5, working_s=1.0, wall_s=2.0,
        cached=cached,
    )  # fmt: skip


def test_it_observes_the_runs_that_begin_in_its_block_beside_those_who_did_before():
    other: Observer = Terminal("other")
    with within(observers=(other,)):
        with Terminal("test") as terminal:
            assert current().observers == (other, terminal)
        assert current().observers == (other,)


def test_a_finished_step_is_one_line(capsys: pytest.CaptureFixture[str]):
    with Terminal("profile mini, store here") as terminal:
        terminal.step_finished(finished())
        terminal.step_finished(finished(cached=True))
    assert capsys.readouterr().out.splitlines() == [
        "almost: profile mini, store here",
        "  sample_responses-A: 3 responses, 1,200 training log (1.0 s + 0.5 s start-up)",
        "  sample_responses-A: 3 responses, 1,200 training log (cached)",
    ]


def test_progress_is_a_line_now_and_then_in_a_log_file(capsys: pytest.CaptureFixture[str]):
    with Terminal("test") as terminal:
        for done in (1, 2, 3):
            terminal.progressed(Progress("train_reward_model", done, 3, "steps", 4.0, {"loss": 0.6931}))
    assert capsys.readouterr().out.splitlines()[1:] == ["    train_reward_model: 1/3 steps, 4 s left loss 0.693"]


def test_a_running_steps_progress_reaches_it(capsys: pytest.CaptureFixture[str]):
    with Terminal("test"), computing(RunningStep("mine_queries", "mine_queries", "k")):
        ProgressReporter(24, "queries").update(5)
    assert "    mine_queries: 5/24 queries" in capsys.readouterr().out


def test_the_last_lines_are_the_metrics_in_words_and_what_to_do_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    store: Store = make_run(str(tmp_path))
    Terminal("test").summarise(store, RUN_ID, 3.0)
    metric, last = capsys.readouterr().out.splitlines()
    assert metric == "  The reward model prefers the answer that is assumed better, held-out comparisons: 75.0%"
    assert last.startswith(f"run {RUN_ID} finished in 3 s: 5 steps, 1 cached; ")
    assert last.endswith(f"look closer: almost show {RUN_ID}")
    Terminal("test").summarise(store, LATEST + "-absent", 3.0)
    assert capsys.readouterr().out == ""
