"""summary.json: idle time by hand, and which run `latest` points to, on a folder and on memory://."""

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.config.profiles import load_profile
from data_contracts.store.artifact_store import Store
from tasks.reporting.run_summary import RunSummary, idle_seconds, read_summary, write_summary
from tasks.runtime.run_record import RunRecord, StepRecord

START = 1_700_000_000.0


def step(start: float | None, seconds: float = 0.0, startup_s: float = 0.0, **changes: Any) -> StepRecord:
    """A step that began `start` seconds into the run; None is a cached one."""
    values: dict[str, Any] = {
        "label": "s", "step": "s", "rows": 3, "artifact": "queries@1/x", "artifacts": {"queries@1/x": 3},
        "seconds": startup_s + seconds, "startup_s": startup_s, "working_s": seconds, "wall_s": seconds, "cached": start is None,
        "started_at": None if start is None else datetime.fromtimestamp(START + start, UTC).isoformat(),
    }  # fmt: skip
    return StepRecord(**(values | changes))


@pytest.mark.parametrize(
    ("steps", "wall_s", "idle"),
    [
        ([], 10.0, 10.0),
        ([step(0, 4)], 10.0, 6.0),
        ([step(0, 4), step(6, 2)], 10.0, 4.0),
        ([step(0, 4), step(2, 4)], 10.0, 4.0),  # beside each other: 0-6
        ([step(0, 8), step(2, 1), step(9, 1)], 10.0, 1.0),  # one inside another
        ([step(6, 2), step(0, 4)], 10.0, 4.0),  # order does not count
        ([step(1, 3, startup_s=2)], 10.0, 5.0),  # start-up is not idle
        ([step(None, 5)], 10.0, 10.0),  # a cached step did not run
        ([step(0, 12)], 10.0, 0.0),  # never negative
    ],
)
def test_idle_seconds_by_hand(steps: list[StepRecord], wall_s: float, idle: float):
    assert idle_seconds(steps, wall_s) == pytest.approx(idle, abs=1e-5)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=6))
def test_idle_is_the_number_of_seconds_in_no_step(spans: list[tuple[int, int]]):
    covered = {second for start, length in spans for second in range(start, start + length)}
    assert idle_seconds([step(*span) for span in spans], 80.0) == pytest.approx(80 - len(covered), abs=1e-4)


def summary(run_id: str, status: str = "finished") -> RunSummary:
    return RunSummary(
        run_id=run_id, status=status, profile="smoke", home="h", flow_run_id=None, started_at="now", wall_s=1.0,
        process_startup_s=None, startup_s=0.0, working_s=1.0, orchestration_s=0.0, seed=1, seeds={"data": 1},
        steps=[step(0, 1)], metrics={"m": 0.5}, config={},
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_latest_points_to_the_newest_run_that_did_not_fail(kind: str, tmp_path: Path):
    url = str(tmp_path / "home") if kind == "folder" else f"memory://{uuid.uuid4().hex}"
    store, config = Store(url, scratch=tmp_path / "scratch"), load_profile("smoke")
    assert read_summary(store, None) is None
    write_summary(store, summary("run-1", "failed"), config)
    assert read_summary(store, None) is None
    assert read_summary(store, "run-1") == summary("run-1", "failed")
    for run_id in ("run-2", "run-3"):
        write_summary(store, summary(run_id), config)
        assert read_summary(store, None) == summary(run_id)
    write_summary(store, summary("run-4", "failed"), config)
    assert read_summary(store, None) == summary("run-3")
    assert read_summary(store, "absent") is None
    if kind == "folder":
        latest = tmp_path / "home" / "runs" / "latest"
        assert latest.is_symlink()
        assert (latest / "summary.json").is_file()
        assert not latest.readlink().is_absolute(), "a moved home keeps its link"


def test_a_record_gathers_steps_and_metrics():
    record = RunRecord()
    record.add_step(step(0, 1, label="a", counters={"tokens": 3.0}))
    record.add_step(step(1, 1, label="b"))
    record.add_metrics({"m": 1.0})
    record.add_metrics({"n": 2.0})
    assert [entry.label for entry in record.steps] == ["a", "b"]
    assert record.metrics == {"m": 1.0, "n": 2.0}
    cached = record.as_cached()[0]
    assert (cached.cached, cached.seconds, cached.working_s, cached.counters, cached.rows) == (True, 0.0, 0.0, {}, 3)
    assert cached.tables() == "3 queries"
