"""The one context of a run: inert without a run, changed within, restored afterwards."""

import subprocess
import sys
import threading
from contextvars import copy_context
from pathlib import Path

import pytest

from data_contracts.errors import AlmostError
from data_contracts.store.artifact_store import Store
from data_contracts.store.home import PROJECT_ROOT
from tasks.runtime.context import (
    EVERY_PHASE,
    Progress,
    ProgressReporter,
    RunContext,
    RunningStep,
    add_startup,
    at_end,
    computing,
    count,
    count_rate,
    current,
    job_folder,
    require_lock,
    startup,
    use_store,
    within,
)
from tasks.runtime.run_record import RunRecord, StepRecord


class Listener:
    """An observer that remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[Progress] = []

    def step_finished(self, step: StepRecord) -> None: ...

    def progressed(self, progress: Progress) -> None:
        self.heard.append(progress)


def test_without_a_run_nothing_is_stored_recorded_or_shown():
    assert current() == RunContext()
    count(rows=3)
    count_rate("rows_per_s", "rows", "seconds")
    add_startup(1.0)
    with startup():
        pass
    require_lock()
    progress = ProgressReporter(10, "rows")
    progress.update(5, loss=1.0)
    assert current() == RunContext()
    with pytest.raises(AlmostError, match="no store is open"):
        current().open_store()


def test_without_a_run_each_job_has_a_passing_folder_of_its_own():
    first, second = job_folder("train"), job_folder("train")
    assert first != second
    for folder in (first, second):
        assert folder.is_dir()
        assert not list(folder.iterdir())


def test_changes_nest_and_are_taken_back():
    outer, inner = RunRecord(), RunRecord()
    with within(record=outer, lookup_only=True) as context:
        assert current() is context
        with within(record=inner):
            assert current().record is inner
            assert current().lookup_only, "what is not named stays"
        assert current() is context
        with pytest.raises(KeyError), within(record=inner):
            raise KeyError
        assert current() is context
    assert current() == RunContext(phases=EVERY_PHASE)


def test_there_is_no_field_of_another_name():
    with pytest.raises(TypeError, match="stage"), within(stage="x"):
        pass
    assert current() == RunContext()


def test_a_thread_sees_the_context_it_was_given(tmp_path: Path):
    seen: list[Store | None] = []

    def look() -> None:
        seen.append(current().store)

    with use_store(Store(str(tmp_path))) as store:
        for target, arguments in ((look, ()), (copy_context().run, (look,))):
            thread = threading.Thread(target=target, args=arguments)
            thread.start()
            thread.join()
    assert seen == [None, store]


def test_a_running_step_counts_and_closes_what_it_opened():
    step, closed = RunningStep("train", "train-A", "k" * 32), []
    step.resources.callback(closed.append, "server")
    with computing(step):
        count(rows=3)
        count(rows=1, seconds=2)
        count_rate("rows_per_s", "rows", "seconds")
        add_startup(0.5)
        assert closed == []
    assert step.counters == {"rows": 4.0, "seconds": 2.0, "rows_per_s": 2.0}
    assert step.startup_s == 0.5
    assert closed == ["server"]
    assert current().step is None


def test_what_a_step_asked_for_is_done_when_it_ends_the_last_first():
    ended: list[str] = []
    with computing(RunningStep("judge", "judge", "k" * 32)):
        for name in ("counters", "server"):
            at_end(lambda name=name: ended.append(name))
        assert ended == []
    assert ended == ["server", "counters"]


def test_without_a_run_it_is_done_when_the_process_ends():
    code = "from tasks.runtime.context import at_end; at_end(lambda: print('ended')); print('working')"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["working", "ended"]


def test_a_step_that_fails_closes_what_it_opened_too():
    step, closed = RunningStep("train", "train", "k" * 32), []
    step.resources.callback(closed.append, "server")
    with pytest.raises(KeyError), computing(step):
        raise KeyError
    assert closed == ["server"]
    assert current().step is None


def test_a_job_of_a_running_step_finds_its_folder_again(tmp_path: Path):
    step = RunningStep("train", "train", "k" * 32)
    with use_store(Store(str(tmp_path))), computing(step):
        folder = job_folder("job")
        (folder / "checkpoint").write_text("half way")
        assert job_folder("job") == folder
        assert job_folder("other") != folder
    assert (folder / "checkpoint").exists(), "a step that failed keeps its job's folder"
    step.clean_up()
    assert not folder.exists()


def test_progress_reaches_the_run_s_observers():
    listener = Listener()
    with within(observers=(listener,)), computing(RunningStep("train", "train-A", "k" * 32)):
        progress = ProgressReporter(10, "rows")
        progress.update(2)
        progress.update(5, total=20, loss=1.0)
    first, second = listener.heard
    assert (first.step, first.done, first.total, first.unit, first.left_s) == ("train-A", 2, 10, "rows", None)
    assert (second.done, second.total, second.metrics) == (5, 20, {"loss": 1.0})
    assert second.left_s is not None
