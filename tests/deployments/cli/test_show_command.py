"""`almost show`: readable samples of a run's tables, on local and remote stores, and untrusted text made harmless."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from data_contracts.errors import AlmostError, ConfigError
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.store.manifest import MANIFEST_FILE
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.queries import Query
from data_contracts.tables.rollouts import Rollout
from deployments.cli.show_command import find_summary, show_run
from tasks.reporting.plain_text import plain
from tasks.reporting.run_tables import RunTables
from tasks.reporting.sample_rows import sample_rollouts
from tests.deployments.cli.finished_run import make_run, rollout


@pytest.fixture(params=["folder", "memory"])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ALMOST_SCRATCH", str(tmp_path))
    return str(tmp_path / "home") if request.param == "folder" else f"memory://show-{tmp_path.name}"


def test_shows_summary_metrics_and_samples(home: str, capsys: pytest.CaptureFixture[str]):
    make_run(home)
    show_run(home, "20260101-000000-test-abcd")
    shown = capsys.readouterr().out
    for part in (
        "run 20260101-000000-test-abcd: finished",
        "data 7",
        "The reward model prefers the answer that is assumed better, held-out comparisons",
        "75.0%",
        "q2: Plain?",
        "A over B: dropped: chosen answer too short (3 <= 9.5)",
        "A (tiny:large, 3 shots hhh): answer q11",
        "no score  (empty)",
        "> +0.500  A smith.",
    ):
        assert part in shown
    assert "Rollouts" not in shown  # a run that stopped before PPO has none


def test_model_output_cannot_steer_the_terminal(home: str, capsys: pytest.CaptureFixture[str]):
    make_run(home)
    show_run(home, "20260101-000000-test-abcd")
    shown = capsys.readouterr().out
    assert "\x1b[31m" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown
    assert "A[31mred [bold]x[/bold] evil ⏎ second" in shown


def test_unknown_run_names_the_known_ones(home: str):
    make_run(home)
    with pytest.raises(ConfigError, match=r"unknown run 'nope' .*newest first: 20260101-000000-test-abcd"):
        show_run(home, "nope")


def test_path_is_no_run(home: str):
    store = make_run(home)
    with pytest.raises(ConfigError, match="unknown run"):
        find_summary(store, "../runs/20260101-000000-test-abcd")


def test_home_without_runs_is_not_created(tmp_path: Path):
    with pytest.raises(ConfigError, match="there are no runs in"):
        show_run(str(tmp_path / "nowhere"), None)
    assert not (tmp_path / "nowhere").exists()


def test_no_finished_run_names_the_others(home: str):
    make_run(home)
    with pytest.raises(ConfigError, match=r"no finished run in .*20260101-000000-test-abcd"):
        show_run(home, None)


def test_lost_table_says_so(home: str):
    store = make_run(home)
    store.backend.delete(f"queries@1/{'k' * 32}/{MANIFEST_FILE}")
    with pytest.raises(AlmostError, match="is gone; the same almost run command makes it again"):
        show_run(home, "20260101-000000-test-abcd")


def test_rollouts_of_first_and_last_step():
    class Tables:
        def rows(self, row: type[Rollout]) -> Rows[Rollout]:
            made = [rollout(n, f"p{step}{n}", "r", step) for step in (1, 2, 3) for n in range(3)]
            return rows_of(row, [replace(one, score=float(one.step), prompt=one.prompt_id) for one in made])

        last = rows

    lines = sample_rollouts(cast(RunTables, Tables()))
    assert lines[0] == "  step 1: mean score +1.000 of 3 rollouts"
    assert lines[5] == "  step 3: mean score +3.000 of 3 rollouts"
    assert len(lines) == 10
    assert not any("p2" in line for line in lines)


def test_tables_keep_the_order_of_steps(tmp_path: Path):
    store = make_run(str(tmp_path))
    tables = RunTables(store, find_summary(store, "20260101-000000-test-abcd").steps)
    assert tables.rows(Query).column("query_id") == ["q1", "q2"]
    assert len(tables.last(Comparison)) == 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("  two\n\nlines ", "two ⏎ lines"),
        ("a\tb", "a b"),
        ("\x9b31mred\u200b", "31mred"),
        ("x" * 300, "x" * 239 + "…"),
        (None, "None"),
        ("", ""),
    ],
)
def test_plain(text: object, shown: str):
    assert plain(text) == shown
