"""`almost show`: readable samples of a run's tables, on local and remote stores, and untrusted text made harmless."""

from pathlib import Path
from typing import Any

import pytest

from data_contracts.comparisons import Comparisons
from data_contracts.demonstrations import Demonstrations
from data_contracts.errors import AlmostError, ConfigError
from data_contracts.manifest import MANIFEST_FILE, Provenance
from data_contracts.queries import Queries, RejectedQueries
from data_contracts.responses import Responses
from data_contracts.store import Store
from deployments.plain_text import plain
from deployments.sample_rows import sample_rollouts
from deployments.show_command import RunTables, find_summary, show_run
from tasks.run_record import StageRecord
from tasks.run_summary import RUNS, RunSummary

HOSTILE = "A\x1b[31mred\x07 [bold]x[/bold] \u202eevil\n\nsecond"
PROVENANCE = Provenance(step="test", step_version="1", code="none")


def query(query_id: str, text: str) -> dict[str, Any]:
    return {
        "query_id": query_id,
        "query": text,
        "attempt": 0,
        "seed": 1,
        "nearest_query_id": None,
        "nearest_rouge_l": None,
        "decontamination_checked": True,
        "evaluation_overlap": None,
    }


def response(query_id: str, rank: int, text: str) -> dict[str, Any]:
    return {
        "response_id": f"{query_id}-{'AB'[rank - 1]}",
        "query_id": query_id,
        "query": f"question {query_id}",
        "responder": "AB"[rank - 1],
        "responder_rank": rank,
        "model": "tiny:large",
        "prompt_set": "hhh",
        "shots": 3,
        "response": text,
        "prompt_tokens": 5,
        "tokens": 3,
        "finish_reason": "stop",
        "logprob": -1.0,
        "seed": 1,
    }


def comparison(query_id: str, kept: bool) -> dict[str, Any]:
    return {
        "comparison_id": f"{query_id}-A-B",
        "query_id": query_id,
        "query": f"question {query_id}",
        "chosen_response_id": f"{query_id}-A",
        "rejected_response_id": f"{query_id}-B",
        "chosen": "good",
        "rejected": "bad",
        "chosen_responder": "A",
        "rejected_responder": "B",
        "chosen_rank": 1,
        "rejected_rank": 2,
        "verdict_words": "keep",
        "verdict_length": "keep" if kept else "drop",
        "verdict_pairing": "keep",
        "verdict_as_is": "not_judged",
        "length_mean": None,
        "length_std": None,
        "as_is_margin": None,
        "kept": kept,
        "dropped_because": None if kept else "short_chosen",
        "evidence": None if kept else "3 <= 9.5",
    }


def demonstration() -> dict[str, Any]:
    candidate = {"tokens": 2, "finish_reason": "stop", "seed": 1}
    return {
        "demonstration_id": "q1-t1",
        "query_id": "q1",
        "turn": 1,
        "split": "seen",
        "context": [{"role": "human", "text": "Who is Mira?"}],
        "response": "A smith.",
        "score": 0.5,
        "candidates": [{"text": "", "score": None} | candidate, {"text": "A smith.", "score": 0.5} | candidate],
        "chosen_candidate": 1,
        "usable": True,
    }


def make_run(home: str, run_id: str = "20260101-000000-test-abcd") -> Store:
    store = Store(home)
    tables = {
        Queries: [query("q1", HOSTILE), query("q2", "Plain?")],
        RejectedQueries: [],
        Responses: [response(q, rank, f"answer {q}{rank}") for q in ("q1", "q2") for rank in (1, 2)],
        Comparisons: [comparison("q1", kept=False), comparison("q2", kept=True)],
        Demonstrations: [demonstration()],
    }
    stages = []
    for contract, rows in tables.items():
        artifact = store.commit_table(contract, "k" * 32, contract.from_rows(rows), PROVENANCE)
        stages.append(
            StageRecord(
                stage=contract.name,
                step=contract.name,
                rows=artifact.rows,
                artifact=artifact.path,
                artifacts={artifact.path: artifact.rows},
                seconds=1.5,
                startup_s=0.5,
                working_s=1.0,
                wall_s=2.0,
                cached=contract is Responses,
            )
        )
    summary = RunSummary(
        run_id=run_id,
        status="finished",
        profile="test",
        home=home,
        flow_run_id=None,
        started_at="2026-01-01T00:00:00+00:00",
        wall_s=10.0,
        process_startup_s=None,
        startup_s=1.0,
        working_s=2.0,
        orchestration_s=0.1,
        seed=7,
        seeds={"data": 7},
        stages=stages,
        metrics={"reward.heldout_accuracy": 0.75},
        config={},
    )
    store.backend.put_bytes(f"{RUNS}/{run_id}/summary.json", summary.model_dump_json().encode())
    return store


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
        "reward.heldout_accuracy",
        "0.75",
        "q2: Plain?",
        "A over B: dropped: short_chosen (3 <= 9.5)",
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
        def read(self, _contract: Any) -> Any:
            rows = [
                {"step": step, "prompt": f"p{step}{n}", "response": "r", "score": float(step), "kl": 0.0}
                for step in (1, 2, 3)
                for n in range(3)
            ]
            return type("Table", (), {"to_pylist": lambda _self: rows})()

        read_last = read

    lines = sample_rollouts(Tables())
    assert lines[0] == "  step 1: mean score +1.000 of 3 rollouts"
    assert lines[5] == "  step 3: mean score +3.000 of 3 rollouts"
    assert len(lines) == 10
    assert not any("p2" in line for line in lines)


def test_tables_keep_the_order_of_stages(tmp_path: Path):
    store = make_run(str(tmp_path))
    tables = RunTables(store, find_summary(store, "20260101-000000-test-abcd"))
    assert tables.read(Queries)["query_id"].to_pylist() == ["q1", "q2"]
    assert tables.read_last(Comparisons).num_rows == 2


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
