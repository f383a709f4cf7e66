"""A step's outputs are computed by one run at a time, and never written by a run that was taken for dead."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from data_contracts.errors import LockLostError
from data_contracts.rows.row import Row
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.store.artifact_store import Store
from data_contracts.store.lock import LockTiming
from tasks.runtime import step as step_module
from tasks.runtime.context import job_folder, use_store
from tasks.runtime.step import step

WORKING = threading.Event()
CALLS: list[str] = []


class Counted(Row, table="counted", key="number_id"):
    """One number."""

    number_id: str
    value: int


@step(version="1")
def count_slowly(*, number: int) -> Rows[Counted]:
    """Takes half a second."""
    CALLS.append(threading.current_thread().name)
    folder = job_folder("job") / "work"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.log").write_text(f"counted {number}\n")
    WORKING.set()
    time.sleep(0.5)
    if threading.current_thread().name == "hangs":
        time.sleep(1.5)
    return rows_of(Counted, [Counted(number_id="n", value=number)])


def run_in_thread(store: Store, name: str, outcomes: dict[str, Any], number: int) -> threading.Thread:
    def run() -> None:
        with use_store(store):
            try:
                outcomes[name] = count_slowly.compute({"number": number})
            except LockLostError as error:
                outcomes[name] = error

    thread = threading.Thread(target=run, name=name)
    thread.start()
    return thread


def test_identical_steps_at_once_compute_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(step_module, "LOCK_TIMING", LockTiming(beat_s=0.1, expiry_s=5, poll_s=0.05))
    outcomes: dict[str, Any] = {}
    CALLS.clear()
    runs = [run_in_thread(Store(str(tmp_path / "home")), f"run {number}", outcomes, 1) for number in range(3)]
    for run in runs:
        run.join()
    assert len(CALLS) == 1
    assert outcomes["run 0"] == outcomes["run 1"] == outcomes["run 2"]
    assert not list((tmp_path / "home" / "locks").rglob("claim*"))
    [log] = (tmp_path / "home" / "counted@1").glob("*/job.log")
    assert log.read_text() == "counted 1\n"


def test_a_run_that_was_taken_for_dead_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home, outcomes = tmp_path / "home", {}
    CALLS.clear()
    WORKING.clear()
    monkeypatch.setattr(step_module, "LOCK_TIMING", LockTiming(beat_s=60, expiry_s=0.8, poll_s=0.05))  # silent
    first = run_in_thread(Store(str(home)), "hangs", outcomes, 2)
    assert WORKING.wait(10)
    monkeypatch.setattr(step_module, "LOCK_TIMING", LockTiming(beat_s=0.1, expiry_s=0.8, poll_s=0.05))
    second = run_in_thread(Store(str(home)), "successor", outcomes, 2)
    first.join()
    second.join()
    assert CALLS == ["hangs", "successor"]
    assert isinstance(outcomes["hangs"], LockLostError)
    assert outcomes["successor"]["rows"] == 1
    assert len(list(home.glob("counted@1/*/part-*"))) == 1
