"""A small finished run in a store, made by hand: two queries, two responders, a demonstration, rollouts, a log."""

from typing import Any

from data_contracts.store.artifact import Artifact
from data_contracts.store.artifact_store import Store
from data_contracts.store.manifest import Parent, Provenance
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.demonstrations import Demonstration
from data_contracts.tables.queries import Query, RejectedQuery
from data_contracts.tables.responses import Response
from data_contracts.tables.reward_scores import RewardScore
from data_contracts.tables.rollouts import Rollout
from data_contracts.tables.row import Row
from data_contracts.tables.training_log import TrainingLogEntry, training_log_rows
from tasks.reporting.run_summary import RUNS, RunSummary
from tasks.runtime.run_record import StageRecord

RUN_ID = "20260101-000000-test-abcd"
HOSTILE = "A\x1b[31mred\x07 [bold]x[/bold] \u202eevil\n\nsecond"


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


def rollout(number: int, prompt_id: str, text: str) -> dict[str, Any]:
    return {
        "rollout_id": f"1-{number}",
        "step": 1,
        "prompt_id": prompt_id,
        "query_id": prompt_id.split("-")[0],
        "split": "seen",
        "prompt": "Human: Who is Mira?",
        "response": text,
        "tokens": 3,
        "finish_reason": "end",
        "score": 0.25,
        "kl": 0.5,
        "reward": 0.2,
        "logprob": -1.0,
    }


def score(pair_id: str) -> dict[str, Any]:
    sides = {"chosen_score": 0.5, "rejected_score": -0.25, "chosen_chars": 4, "rejected_chars": 3}
    return {"pair_id": pair_id, "query_id": pair_id[:2], "split": "heldout"} | sides


LOG = [(1, {"loss": 0.7, "accuracy": 0.5}), (2, {"loss": 0.5, "accuracy": 0.75})]
RESPONSES = [response(q, rank, f"answer {q}{rank}") for q in ("q1", "q2") for rank in (1, 2)]
FEEDBACK: list[tuple[type[Row], str, list[dict[str, Any]], str]] = [  # contract, key, rows, keys of its inputs
    (Query, "k", [query("q1", HOSTILE), query("q2", "Plain?")], ""),
    (RejectedQuery, "k", [], ""),
    (Response, "r", RESPONSES, "k"),
    (Comparison, "c", [comparison("q1", kept=False), comparison("q2", kept=True)], "r"),
    (Demonstration, "d", [demonstration()], "k"),
]
POLICY: list[tuple[type[Row], str, list[dict[str, Any]], str]] = [
    (Response, "x", [response("q1", 1, "of another variant")], "k"),
    (RewardScore, "s", [score("q2-A-B")], "c"),
    (TrainingLogEntry, "s", training_log_rows(LOG), "c"),
    (Rollout, "p", [rollout(0, "q1-t1", "A smith."), rollout(1, "q2-t1", "No.")], "dc"),
]


def parent(made: Artifact, moved: bool) -> Parent:
    """An input; `moved`: it was in another folder when the manifest was written, with the same content."""
    path = f"{made.contract}/{'o' * 32}" if moved else made.path
    return Parent(argument=made.contract.split("@")[0], identity=str(made.key_identity()), path=path)


def make_run(home: str, policy: bool = False) -> Store:
    """Store a run; with `policy` also another variant's responses, a reward model's scores and log, and rollouts."""
    store, stages, made = Store(home), [], dict[str, Artifact]()
    for contract, key, rows, inputs in FEEDBACK + (POLICY if policy else []):
        parents = tuple(parent(made[i], moved=contract is Demonstration) for i in inputs)
        provenance = Provenance(step="test", step_version="1", code="none", parents=parents)
        artifact = store.commit_table(contract, key * 32, contract.from_rows(rows), provenance)
        made.setdefault(key, artifact)
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
                cached=contract is Response,
            )
        )
    summary = RunSummary(
        run_id=RUN_ID,
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
        config={"mining": {"queries": 2}},
    )
    store.backend.put_bytes(f"{RUNS}/{RUN_ID}/summary.json", summary.model_dump_json().encode())
    return store
