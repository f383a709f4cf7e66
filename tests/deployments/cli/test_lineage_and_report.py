"""`almost lineage` and `almost report` on a run made by hand; the funnel and the samples of the run page."""

import re
from pathlib import Path

import pytest

from data_contracts.errors import ConfigError
from data_contracts.store.artifact_store import Store
from data_contracts.store.manifest import MANIFEST_FILE
from deployments.cli.lineage_command import print_lineage
from deployments.cli.show_command import report_run
from tasks.reporting.funnel import FunnelRow, funnel
from tasks.reporting.run_report import FENCE, LINE_WIDTH, samples
from tasks.reporting.run_summary import read_summary
from tasks.reporting.run_tables import RunTables
from tasks.reporting.training_curves import HEIGHT, MARGIN, WIDTH, line
from tests.deployments.cli.finished_run import HOSTILE, RUN_ID, Made, Query, make_run, query


@pytest.fixture
def home(tmp_path: Path) -> str:
    make_run(str(tmp_path / "home"), policy=True)
    return str(tmp_path / "home")


@pytest.fixture
def tables(home: str) -> RunTables:
    summary = read_summary(Store(home), RUN_ID)
    assert summary is not None
    return RunTables(Store(home), summary.steps)


def lineage(home: str, row_id: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_lineage(home, RUN_ID, row_id)
    return capsys.readouterr().out.splitlines()


def marked(lines: list[str]) -> list[str]:
    return [" ".join(line.split()[1:3]).rstrip(",:") for line in lines if line.startswith("> ")]


def test_a_rollout_leads_back_to_query_responses_verdicts_and_the_turn_it_continues(
    home: str, capsys: pytest.CaptureFixture[str]
):
    lines = lineage(home, "1-0", capsys)
    text = "\n".join(lines)
    assert marked(lines) == ["rollout 1-0"]
    for part in ("query q1", "response q1-A (A, rank 1", "response q1-B", "comparison q1-A-B, A over B: dropped"):
        assert part in text
    assert "+0.500, chosen: A smith." in text
    assert "of another variant" not in text, "a table that it was not made from"
    assert not re.search(r"\bq2\b", text)
    files = lines[lines.index("files, each with what it was made from:") + 1 :]
    assert [line.split("@")[0].strip() for line in files] == [
        "rollouts",
        "demonstrations",
        "comparisons",
        "queries",
        "responses",
    ]


def test_a_rollout_of_another_prompt_has_no_turn_of_this_one(home: str, capsys: pytest.CaptureFixture[str]):
    assert "demonstration" not in "\n".join(lineage(home, "1-1", capsys)).split("files")[0]


def test_a_comparison_shows_its_two_responses_and_the_reward_models_scores(
    home: str, capsys: pytest.CaptureFixture[str]
):
    lines = lineage(home, "q2-A-B", capsys)
    assert marked(lines) == ["comparison q2-A-B"]
    assert "scores by reward_scores: +0.500 over -0.250 (heldout)" in "\n".join(lines)
    assert sum("response q2-" in line for line in lines) == 2
    filters = (
        "word filter keeps it, length filter keeps it, pairing filter keeps it, as-is reward model did not judge it"
    )
    assert f"      {filters}" in lines


def test_an_unknown_row_shows_what_ids_look_like(home: str):
    with pytest.raises(ConfigError, match=r"has no row 'q9'; ids look like: q1, q1-A, q1-A-B, q1-t1, 1-0"):
        print_lineage(home, RUN_ID, "q9")


def test_funnel_by_hand(tables: RunTables):
    assert funnel(tables) == [
        FunnelRow("queries", 2, 2),
        FunnelRow("responses", 5, None, "of 2 responders"),
        FunnelRow("comparisons of the assumed order", 2),
        FunnelRow("comparisons that every filter kept", 1, 2, "1 chosen answer too short"),
        FunnelRow("pairs held out of reward training", 1),
        FunnelRow("demonstrations", 1, 1),
        FunnelRow("demonstrations for SFT", 1, 1, "the others are prompts for policy training"),
        FunnelRow("rollouts", 2, None, "in 1 policy training step"),
    ]
    assert FunnelRow("x", 1, 3).share() == "33.3%"


def test_what_models_wrote_cannot_leave_the_samples_blocks(tables: RunTables):
    text = samples(tables)
    fences = [line for line in text.splitlines() if line.startswith(FENCE)]
    assert len(fences) == 2 * text.count("## ")
    assert max(len(line) for line in text.splitlines()) <= LINE_WIDTH
    inside = False
    for row in text.splitlines():
        inside = inside != (row == FENCE)
        assert inside or row in ("", FENCE) or row.startswith("## ")


def test_the_report_is_one_page_that_shows_untrusted_text_as_text(home: str):
    path = report_run(home, RUN_ID)
    page = Path(path).read_text()
    for part in (
        "Funnel",
        "1 chosen answer too short",
        "The reward model prefers the answer that is assumed better, held-out comparisons",
        "75.0%",
        "Training loss: 0.7 → 0.5 in 2 steps",
        "queries: 2",
    ):
        assert part in page
    assert "<script" not in page
    assert "http" not in page
    assert "heldout_accuracy" not in page, "a dotted name is for summary.json"
    assert "\x1b" not in page
    assert HOSTILE.split()[1] in page
    for reference in re.findall(r'href="([^"]+)"', page):
        assert (Path(path).parent / reference).resolve().exists()


def test_html_in_a_models_text_is_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.deployments.cli.finished_run.FEEDBACK", [])
    monkeypatch.setattr("tests.deployments.cli.finished_run.POLICY", [Made(Query, "k", [query("q1", "<img src=x>")])])
    make_run(str(tmp_path), policy=True)
    page = Path(report_run(str(tmp_path), RUN_ID)).read_text()
    assert "<img" not in page
    assert "&lt;img src=x&gt;" in page


def test_a_lost_table_is_named(home: str):
    Store(home).backend.delete(f"queries@1/{'k' * 32}/{MANIFEST_FILE}")
    with pytest.raises(Exception, match="is gone; the same almost run command makes it again"):
        report_run(home, RUN_ID)


def test_a_curve_fills_its_picture():
    top, bottom = MARGIN, HEIGHT - MARGIN
    assert line([(1, 3.0), (2, 1.0), (3, 2.0)]) == (
        f"{MARGIN:.1f},{top:.1f} {WIDTH / 2:.1f},{bottom:.1f} {WIDTH - MARGIN:.1f},{HEIGHT / 2:.1f}"
    )
    assert line([(5, 1.0)]) == f"{WIDTH / 2:.1f},{HEIGHT / 2:.1f}", "a single step, a flat line: the middle"
